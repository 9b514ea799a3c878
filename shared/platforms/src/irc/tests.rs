//! IRC, proven: conversations with a scripted server, one file a theme. Time is virtual; nothing here opens a socket.

mod channels;
mod codec;
mod confirm;
mod inbound;
mod laws;
mod link;
mod locate;
mod login;
mod properties;
mod puppets;
mod registration;
mod sending;
mod world;
