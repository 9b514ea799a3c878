//! Who may do what by command, as the operator sets it.

use sameroom_model::Author;

/// What people in rooms may do by command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRules {
    /// Whether commands are obeyed at all. They never cross, either way.
    pub enabled: bool,
    /// Who may connect rooms: `open`, `connect` and `portal`.
    pub connect: Who,
    /// Who may disconnect a room: `disable`.
    pub disable: Who,
    /// Who may set how messages look in a room: `format`.
    pub format: Who,
    /// Whom to ask, told to those who may not: a name, an address. `None`: those who may are named.
    pub ask: Option<String>,
}

/// Who may do something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Who {
    /// Anybody in the room. Programs never may.
    #[default]
    Anyone,
    /// Nobody; it is done by the management interfaces.
    Nobody,
    /// These, by the key that their platform knows them by: a Slack user's id, an IRC account or nick. `account/key`
    /// says which account's platform is meant.
    Users(Vec<String>),
}

impl Default for CommandRules {
    fn default() -> Self {
        Self { enabled: true, connect: Who::Anyone, disable: Who::Anyone, format: Who::Anyone, ask: None }
    }
}

impl Who {
    /// Whether somebody may, who is seen through that account.
    pub(crate) fn allows(&self, account: &str, author: Option<&Author>) -> bool {
        let Some(author) = author.filter(|author| !author.bot) else { return false };
        match self {
            Self::Anyone => true,
            Self::Nobody => false,
            Self::Users(users) => users.iter().any(|user| {
                let key = author.key.as_str();
                user == key || user.strip_prefix(account).and_then(|rest| rest.strip_prefix('/')) == Some(key)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_are_named_may_and_programs_never() {
        let (ann, bob) = (Author::new("U1", "ann"), Author::new("U2", "bob"));
        let bot = Author { bot: true, ..Author::new("U1", "ann") };
        let some = Who::Users(vec!["U1".to_owned(), "chat-1/U2".to_owned()]);
        assert!(some.allows("chat-1", Some(&ann)) && some.allows("chat-1", Some(&bob)));
        assert!(!some.allows("chat-2", Some(&bob)) && !some.allows("chat-1", Some(&bot)));
        assert!(Who::Anyone.allows("x", Some(&bob)) && !Who::Anyone.allows("x", None));
        assert!(!Who::Nobody.allows("x", Some(&ann)));
    }
}
