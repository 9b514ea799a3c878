//! `files.*`: the three steps of an upload, and what there is to know of a file.

use serde_json::{Value, json};

use super::chat;
use super::oauth::list_of;
use crate::worlds::slack::call::{Call, Done, Later, bad, no};
use crate::worlds::slack::model::{File, Id, random};

pub(in super::super) fn address(call: &mut Call<'_>) -> Done {
    call.scope("files:write")?;
    let name = call.need("filename")?;
    let Some(length) = call.number("length")? else { return bad("missing required field: length") };
    if length <= 0 {
        return no("missing_argument");
    }
    if length > 1024 * 1024 * 1024 {
        return no("file_upload_size_restricted");
    }
    let (alt, team, user) = (call.text("alt_txt")?, call.team(), call.user());
    if alt.as_ref().is_some_and(|alt| alt.chars().count() > 1000) {
        return no("alt_txt_too_large");
    }
    let file = call.state.new_file(&team, &user, &name, length as usize);
    if let Some(known) = call.state.files.get_mut(&file) {
        known.alt = alt;
    }
    let secret = random(40);
    let url = format!("{}/upload/v1/{secret}", call.state.base);
    call.state.uploads.insert(secret, file.clone());
    Ok(json!({ "upload_url": url, "file_id": file }))
}

pub(in super::super) fn complete(call: &mut Call<'_>) -> Done {
    call.scope("files:write")?;
    let list = call.object("files")?;
    let Some(list) = list.as_array().filter(|list| !list.is_empty()) else {
        return bad("missing required field: files");
    };
    let user = call.user();
    let mut files: Vec<Id> = Vec::new();
    for item in list {
        let Some(id) = item["id"].as_str() else { return bad("missing required field: id [json-pointer:/files/0]") };
        let own = |file: &&mut File| file.user == user && !file.completed && file.bytes.is_some();
        let Some(file) = call.state.files.get_mut(id).filter(own) else { return no("file_not_found") };
        if let Some(title) = item["title"].as_str().filter(|title| !title.is_empty()) {
            title.clone_into(&mut file.title);
        }
        files.push(id.to_owned());
    }
    let mut channels = list_of(call, "channels")?;
    channels.extend(call.text("channel_id")?.filter(|id| !id.is_empty()));
    for id in &channels {
        chat::may_write(call, call.visible(id)?)?;
    }
    let thread = match channels.first().cloned() {
        Some(first) => chat::thread(call, &first)?,
        None => None,
    };
    let comment = call.text("initial_comment")?.unwrap_or_default();
    for id in &files {
        call.state.files.get_mut(id).expect("it was just found").completed = true;
    }
    let shown: Vec<Value> = files.iter().map(|id| call.state.file(id)).collect();
    let after = call.state.moods.shares_after;
    if !channels.is_empty() {
        call.later.push((after, Later::Share { files, channels, thread, comment, user }));
    }
    Ok(json!({ "files": shown }))
}

pub(in super::super) fn info(call: &mut Call<'_>) -> Done {
    call.scope("files:read")?;
    let id = call.need("file")?;
    let Some(file) = call.state.files.get(&id) else { return no("file_not_found") };
    if !call.state.may_see(file, &call.token().team, &call.token().user) {
        return no("file_not_found");
    }
    Ok(json!({ "file": call.state.full_file(&id), "comments": [], "response_metadata": { "next_cursor": "" } }))
}

pub(in super::super) fn public(call: &mut Call<'_>) -> Done {
    call.scope("files:write")?;
    let (id, user) = (call.need("file")?, call.user());
    let Some(file) = call.state.files.get_mut(&id).filter(|file| file.user == user) else {
        return no("file_not_found");
    };
    if file.public_secret.is_some() {
        return no("already_public");
    }
    file.public_secret = Some(random(10));
    Ok(json!({ "file": call.state.full_file(&id) }))
}
