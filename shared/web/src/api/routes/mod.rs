//! The routes, by what they are about. Each file has its shapes, its handlers and what the document says of them; the
//! gate has judged who calls before a handler runs.

pub(super) mod accounts;
pub(super) mod deliveries;
pub(super) mod events;
pub(super) mod finding;
pub(super) mod invitations;
pub(super) mod keys;
pub(super) mod letters;
pub(super) mod map;
pub(super) mod onboardings;
pub(super) mod owners;
pub(super) mod platforms;
pub(super) mod portals;
pub(super) mod rooms;
pub(super) mod tubes;

use super::openapi::Routes;

/// All of them.
pub(super) fn all() -> Routes {
    platforms::routes()
        .and(accounts::routes())
        .and(onboardings::routes())
        .and(rooms::routes())
        .and(tubes::routes())
        .and(portals::routes())
        .and(invitations::routes())
        .and(deliveries::routes())
        .and(letters::routes())
        .and(map::routes())
        .and(events::routes())
        .and(keys::routes())
        .and(owners::routes())
}
