//! Finding an account that was added before in another way, and is called otherwise for that: so that one bot is one
//! account. Its platform says which are alike; this must not know by what.

use sameroom_model::{AccountId, OwnerId, Place};
use sameroom_platforms::{Draft, Likeness};
use serde_json::Value;

use crate::Engine;
use crate::ports::Unavailable;

impl Engine {
    /// The account of an owner that a draft is, under another name: its id, and the draft as that account's, which keeps
    /// its name and what is known of it.
    pub(crate) async fn alike(
        &self,
        owner: &OwnerId,
        draft: &Draft,
    ) -> Result<Option<(AccountId, Draft)>, Unavailable> {
        if draft.place != Place::Alone {
            return Ok(None);
        }
        for known in self.accounts(owner).await? {
            if known.platform != draft.platform || known.endpoint != draft.endpoint || known.place != Place::Alone {
                continue;
            }
            let Some(open) = self.open(&known.id).await? else { continue };
            if open.platform.likeness(&open.opened, draft) == Likeness::Same {
                let mut draft = draft.clone();
                draft.identity.name = known.identity.name;
                draft.settings = together(known.settings, draft.settings);
                return Ok(Some((known.id, draft)));
            }
        }
        Ok(None)
    }
}

/// Settings that were known and those that are new, which win.
fn together(known: Value, new: Value) -> Value {
    match (known, new) {
        (Value::Object(mut known), Value::Object(new)) => {
            known.extend(new);
            Value::Object(known)
        }
        (known, Value::Null) => known,
        (_, new) => new,
    }
}
