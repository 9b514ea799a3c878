//! What the engine asks of platforms, beside deliveries, on a toy that has everything.

mod files;
mod onboarding;
mod people;
mod renewal;
mod rooms;
mod tenants;
