//! Which of several processes holds the connections: one leads, the others wait. Who leads says so again and again; who
//! has not heard it for a whole term takes over, under a higher epoch. The leader itself stops when most of its term is
//! over without its word having been kept (it fences itself), so that two never lead at once, however their clocks
//! differ: each measures by its own clock how long nothing has changed.

use std::time::Duration;

use sameroom_model::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ports::{Commit, CommitError, Unavailable, When};
use crate::{Engine, keys, rows};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct LeadRow {
    /// Who leads.
    holder: String,
    /// Counts leaders.
    epoch: u64,
    /// Whether the holder has let go.
    #[serde(default)]
    free: bool,
    /// Counts the leader's words, so that each is another row.
    #[serde(default)]
    beat: u64,
}

/// Somebody who would lead.
#[derive(Debug)]
pub struct Candidate {
    engine: Engine,
    role: String,
    holder: String,
    term: Duration,
    /// The row's version as it was seen first, and when.
    seen: Option<(u64, Timestamp)>,
}

/// Somebody who leads.
#[derive(Debug)]
pub struct Lead {
    engine: Engine,
    role: String,
    row: LeadRow,
    version: u64,
    term: Duration,
    /// When the word that was kept last was begun.
    said: Timestamp,
}

impl Engine {
    /// One who would lead in a role. `holder` names the process, uniquely; `term`: how long after the leader's last word
    /// another takes over.
    pub fn candidate(&self, role: &str, holder: &str, term: Duration) -> Candidate {
        Candidate { engine: self.clone(), role: role.to_owned(), holder: holder.to_owned(), term, seen: None }
    }

    async fn lead_row(&self, role: &str) -> Result<Option<rows::Kept<LeadRow>>, Unavailable> {
        rows::load(&*self.inner.store, &keys::lead(role)).await
    }

    /// Writes a leader's row. `None`: somebody else did. What was written is read back for its version.
    async fn write_lead(&self, role: &str, row: &LeadRow, when: When) -> Result<Option<u64>, Unavailable> {
        let writes = vec![rows::put(keys::lead(role), row, None, when)];
        match self.inner.store.commit(Commit { writes, ..Commit::default() }).await {
            Ok(_) => {}
            Err(CommitError::Conflict) => return Ok(None),
            Err(CommitError::Unavailable(e)) => return Err(e),
        }
        let kept = self.lead_row(role).await?;
        Ok(kept.filter(|kept| kept.value.epoch == row.epoch && kept.value.beat == row.beat).map(|kept| kept.version))
    }
}

impl Candidate {
    /// Looks whether the lead is to be had, and takes it. To be called about every third of a term.
    pub async fn stand(&mut self) -> Result<Option<Lead>, Unavailable> {
        let now = self.engine.inner.clock.now();
        let kept = self.engine.lead_row(&self.role).await?;
        let (epoch, when) = match &kept {
            None => (1, When::Absent),
            Some(kept) => {
                let lapsed = match self.seen {
                    Some((version, since)) if version == kept.version => now.duration_since(since) >= signed(self.term),
                    _ => {
                        self.seen = Some((kept.version, now));
                        false
                    }
                };
                if !lapsed && !kept.value.free {
                    return Ok(None);
                }
                (kept.value.epoch + 1, When::Version(kept.version))
            }
        };
        let row = LeadRow { holder: self.holder.clone(), epoch, free: false, beat: 0 };
        let Some(version) = self.engine.write_lead(&self.role, &row, when).await? else {
            self.seen = None;
            return Ok(None);
        };
        let (engine, role) = (self.engine.clone(), self.role.clone());
        Ok(Some(Lead { engine, role, row, version, term: self.term, said: now }))
    }
}

impl Lead {
    /// Counts leaders of this role.
    pub fn epoch(&self) -> u64 {
        self.row.epoch
    }

    /// Says again who leads. `false`: somebody else does by now. To be called about every third of a term.
    pub async fn keep(&mut self) -> Result<bool, Unavailable> {
        let now = self.engine.inner.clock.now();
        let row = LeadRow { beat: self.row.beat + 1, ..self.row.clone() };
        match self.engine.write_lead(&self.role, &row, When::Version(self.version)).await? {
            Some(version) => (self.version, self.said, self.row) = (version, now, row),
            None => {
                // It may have been our own word, the answer to which was lost.
                let kept = self.engine.lead_row(&self.role).await?;
                match kept.filter(|kept| kept.value.holder == self.row.holder && kept.value.epoch == self.row.epoch) {
                    Some(kept) => (self.version, self.row) = (kept.version, kept.value),
                    None => return Ok(false),
                }
            }
        }
        Ok(true)
    }

    /// Whether so much of the term is over that somebody else may take over soon: whoever leads then stops at once.
    pub fn lapses(&self) -> bool {
        self.engine.inner.clock.now().duration_since(self.said) >= signed(self.term * 2 / 3)
    }

    /// Lets go, so that the next need not wait.
    pub async fn leave(self) -> Result<(), Unavailable> {
        let row = LeadRow { free: true, beat: self.row.beat + 1, ..self.row };
        self.engine.write_lead(&self.role, &row, When::Version(self.version)).await.map(drop)
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::testing::Bench;

    const TERM: Duration = Duration::from_secs(15);
    const THIRD: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn one_leads_and_another_takes_over_once_it_falls_silent() {
        let stage = Bench::new();
        let mut one = stage.engine.candidate("worker", "one", TERM);
        let mut two = stage.engine.candidate("worker", "two", TERM);
        let mut lead = one.stand().await.unwrap().expect("nobody leads yet");
        for _ in 0..5 {
            assert!(two.stand().await.unwrap().is_none());
            stage.pass(THIRD);
            assert!(lead.keep().await.unwrap());
            assert!(!lead.lapses());
        }
        // It falls silent, and stops by itself before another may lead.
        for seconds in (0..15).step_by(5) {
            assert!(two.stand().await.unwrap().is_none(), "{seconds} s after the last word");
            stage.pass(THIRD);
        }
        assert!(lead.lapses());
        let second = two.stand().await.unwrap().expect("a term has passed");
        assert_eq!((lead.epoch(), second.epoch()), (1, 2));
        assert!(!lead.keep().await.unwrap(), "who comes back finds that somebody else leads");
    }

    #[tokio::test]
    async fn who_lets_go_is_followed_at_once() {
        let stage = Bench::new();
        let lead = stage.engine.candidate("worker", "one", TERM).stand().await.unwrap().unwrap();
        lead.leave().await.unwrap();
        let next = stage.engine.candidate("worker", "two", TERM).stand().await.unwrap();
        assert_eq!(next.expect("it is free").epoch(), 2);
    }

    #[tokio::test]
    async fn of_many_who_stand_at_once_one_leads() {
        let stage = Bench::new();
        let mut leaders = 0;
        for n in 0..10 {
            let mut candidate = stage.engine.candidate("worker", &n.to_string(), TERM);
            leaders += usize::from(candidate.stand().await.unwrap().is_some());
        }
        assert_eq!(leaders, 1);
    }
}
