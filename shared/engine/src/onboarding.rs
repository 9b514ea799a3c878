//! Adding an account step by step: a form is asked, a browser is sent away and comes back, requests are made, until the
//! platform has what it needs. What was answered may hold secrets: it is sealed, kept for half an hour at most, and gone
//! at the end. It must not know what any platform asks.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use sameroom_model::{Account, AccountId, AccountState, Identity, Opened, OwnerId, Place, Sealed, Secrets, Timestamp};
use sameroom_platforms::{Answer, Desk, Draft, Form, Likeness, Platform, Problem, Step};
use serde::{Deserialize, Serialize};

use crate::files::stranger;
use crate::ports::{Commit, CommitError, Unavailable, When, Write};
use crate::{Engine, keys, platform, rows};

/// How long an onboarding may take.
const KEEP: Duration = Duration::from_mins(30);
/// How many requests one answer may lead to.
const SENDS_MAX: usize = 16;
/// How many answers one onboarding may have, and how long they may be together, in bytes.
const ANSWERS_MAX: usize = 64;
const BYTES_MAX: usize = 64 * 1024;
/// The owner whose apps anybody may install.
const OPERATOR: &str = "operator";

/// An account being added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Onboarding {
    /// Names it, to its owner alone.
    pub id: String,
    /// Whose account it will be.
    pub owner: OwnerId,
    /// The platform's name.
    pub platform: String,
    /// The app that is being installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<AccountId>,
    /// When it was begun.
    pub at: Timestamp,
    /// What comes next.
    pub status: Status,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status", content = "with")]
pub enum Status {
    /// The person fills in this form.
    Ask(Question),
    /// The person's browser goes to this address, and comes back to [`Engine::returned`].
    Visit(String),
    /// The platform is being asked.
    Wait,
    /// The account is there.
    Done(AccountId),
    /// It came to nothing; a sentence that says why.
    Failed(String),
}

/// A form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What it is for, in a sentence.
    pub title: String,
    /// Its fields.
    pub fields: Vec<Asked>,
}

/// A field of a form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Its name in [`Answer::Fields`].
    pub name: String,
    /// Its label.
    pub label: String,
    /// What to put there, in a sentence.
    pub help: String,
    /// Whether it may be left empty.
    pub optional: bool,
    /// Whether it is a secret.
    pub secret: bool,
}

/// Why a step of an onboarding was not made.
#[derive(Debug, thiserror::Error)]
pub enum OnboardError {
    /// No such platform.
    #[error("there is no platform called {0}; `sameroom platforms` lists those that there are")]
    NoPlatform(String),
    /// No such account of this owner's, or one that can't be used so; a sentence.
    #[error("{0}")]
    NoAccount(String),
    /// No such onboarding of this owner's, or its time is over, or its address was used already.
    #[error("this is not under way, or its half hour is over: start again")]
    Gone,
    /// Not what was asked for; a sentence.
    #[error("{0}")]
    Unasked(String),
    /// Somebody else answered in the same moment.
    #[error("this was answered a moment ago: look at what comes next")]
    Busy,
    /// The answer does not do. The same step can be answered again.
    #[error("{message}")]
    Problem {
        /// The form's field, where it is one.
        field: Option<String>,
        /// A sentence for the person.
        message: String,
    },
    /// The store or the vault failed.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// All of an onboarding, as it is sealed.
#[derive(Clone, Serialize, Deserialize)]
struct Progress {
    id: String,
    owner: OwnerId,
    platform: String,
    app: Option<AccountId>,
    /// The account to renew in place.
    renew: Option<AccountId>,
    back: String,
    state: String,
    at: Timestamp,
    answers: Vec<Given>,
    status: Status,
}

/// An answer, as it is sealed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Given {
    Fields(BTreeMap<String, String>),
    Returned(BTreeMap<String, String>),
    Response { status: u16, headers: Vec<(String, String)>, body: String },
}

/// What an answer led to, if to no end yet.
enum Next {
    Step(Status),
    Problem(Problem),
    Draft(Box<Draft>),
}

impl Engine {
    /// Begins to add an account; `app`: the app to install, one of this owner's or of the operator's. `back`: where a
    /// browser comes back to, as it is registered with the platform.
    pub async fn start_onboarding(
        &self,
        owner: &OwnerId,
        platform: &str,
        app: Option<&AccountId>,
        back: &str,
    ) -> Result<Onboarding, OnboardError> {
        if let Some(app) = app {
            let usable = self.account(app).await?.is_some_and(|known| {
                known.place == Place::App
                    && known.platform == platform
                    && (known.owner == *owner || known.owner.as_str() == OPERATOR)
            });
            if !usable {
                return Err(OnboardError::NoAccount(format!("there is no app {app} of yours on that platform")));
            }
        }
        self.begin_onboarding(owner, platform, app.cloned(), None, back).await
    }

    /// Begins to renew an account in place: new secrets and a state of Ok; its id, rooms and Tubes stay.
    pub async fn renew_onboarding(
        &self,
        owner: &OwnerId,
        account: &AccountId,
        back: &str,
    ) -> Result<Onboarding, OnboardError> {
        let known = self.account(account).await?.filter(|known| known.owner == *owner);
        let known = known.ok_or_else(|| OnboardError::NoAccount(format!("you have no account {account}")))?;
        let app = match &known.place {
            Place::Installed { app, .. } => Some(app.clone()),
            Place::Alone | Place::App => None,
        };
        self.begin_onboarding(owner, &known.platform, app, Some(account.clone()), back).await
    }

    /// An onboarding as it stands. `None`: there is none, or its time is over.
    pub async fn onboarding(&self, owner: &OwnerId, id: &str) -> Result<Option<Onboarding>, Unavailable> {
        Ok(self.progress(owner, id).await?.map(|(progress, _)| progress.shown()))
    }

    /// Answers the step that is asked for. What a browser came back with is taken here, too, where it bears the state.
    pub async fn answer_onboarding(
        &self,
        owner: &OwnerId,
        id: &str,
        answer: Answer,
    ) -> Result<Onboarding, OnboardError> {
        let (progress, version) = self.progress(owner, id).await?.ok_or(OnboardError::Gone)?;
        match (&progress.status, answer) {
            (Status::Ask(_), Answer::Fields(fields)) => {
                self.go_on(progress, version, Given::Fields(fields), Vec::new()).await
            }
            (Status::Visit(_), Answer::Returned(query)) => {
                if query.get("state") != Some(&progress.state) {
                    return Err(OnboardError::Gone);
                }
                let spent = self.spend(&progress.state).await?;
                self.go_on(progress, version, Given::Returned(query), spent).await
            }
            (Status::Ask(_), _) => Err(OnboardError::Unasked("a form is asked: answer with its fields".to_owned())),
            (Status::Visit(_), _) => {
                Err(OnboardError::Unasked("a visit is asked: send the person's browser to its address".to_owned()))
            }
            (Status::Wait, _) => Err(OnboardError::Busy),
            (Status::Done(_) | Status::Failed(_), _) => {
                Err(OnboardError::Unasked("this is over; nothing more is asked".to_owned()))
            }
        }
    }

    /// A browser came back, with this state and this query. Each state is good once, and for one onboarding.
    pub async fn returned(&self, state: &str, query: BTreeMap<String, String>) -> Result<Onboarding, OnboardError> {
        let row = keys::onboarding_state(state);
        let kept = rows::load::<(OwnerId, String)>(&*self.inner.store, &row).await?.ok_or(OnboardError::Gone)?;
        let (owner, id) = kept.value;
        let (progress, version) = self.progress(&owner, &id).await?.ok_or(OnboardError::Gone)?;
        if progress.state != state || !matches!(progress.status, Status::Visit(_)) {
            return Err(OnboardError::Gone);
        }
        let spent = vec![Write::Delete { key: row, when: When::Version(kept.version) }];
        self.go_on(progress, version, Given::Returned(query), spent).await
    }

    /// Ends an onboarding and forgets what was answered. Whether there was one.
    pub async fn cancel_onboarding(&self, owner: &OwnerId, id: &str) -> Result<bool, Unavailable> {
        let Some((progress, _)) = self.progress(owner, id).await? else { return Ok(false) };
        let writes = vec![
            Write::Delete { key: keys::onboarding(owner, id), when: When::Always },
            Write::Delete { key: keys::onboarding_state(&progress.state), when: When::Always },
        ];
        self.commit_always(Commit { writes, ..Commit::default() }).await?;
        Ok(true)
    }

    async fn begin_onboarding(
        &self,
        owner: &OwnerId,
        name: &str,
        app: Option<AccountId>,
        renew: Option<AccountId>,
        back: &str,
    ) -> Result<Onboarding, OnboardError> {
        if platform(name).is_none() {
            return Err(OnboardError::NoPlatform(name.to_owned()));
        }
        let progress = Progress {
            id: self.random_id()?,
            owner: owner.clone(),
            platform: name.to_owned(),
            app,
            renew,
            back: back.to_owned(),
            state: self.random_token()?,
            at: self.inner.clock.now(),
            answers: Vec::new(),
            status: Status::Wait,
        };
        self.work(progress, When::Absent, 0).await
    }

    /// Takes an answer: first it is claimed, so that of two at once one is worked on, then it is worked on.
    async fn go_on(
        &self,
        mut progress: Progress,
        version: u64,
        given: Given,
        spent: Vec<Write>,
    ) -> Result<Onboarding, OnboardError> {
        if progress.answers.len() >= ANSWERS_MAX || given.len() > BYTES_MAX {
            return Err(OnboardError::Unasked("that is more than any form asks for".to_owned()));
        }
        let asked = std::mem::replace(&mut progress.status, Status::Wait);
        let mut writes = spent;
        writes.push(self.write(&progress, When::Version(version)).await?);
        match self.inner.store.commit(Commit { writes, ..Commit::default() }).await {
            Ok(_) => {}
            Err(CommitError::Conflict) => return Err(OnboardError::Busy),
            Err(CommitError::Unavailable(e)) => return Err(e.into()),
        }
        let before = progress.answers.len();
        let form = matches!(given, Given::Fields(_));
        progress.answers.push(given);
        // Of the row as it was just written: stores choose versions as they like.
        let claimed = self.inner.store.get(&keys::onboarding(&progress.owner, &progress.id)).await?;
        let when = When::Version(claimed.map_or(0, |row| row.version));
        let unanswered = Progress { status: asked, ..progress.clone() };
        match self.work(progress, when, before).await {
            // A form is filled in again; nothing else can be mended by the person who is asked.
            Err(OnboardError::Problem { message, .. }) if !form => {
                self.end(unanswered, Status::Failed(message), when).await
            }
            Err(e) => {
                let mut unanswered = unanswered;
                unanswered.answers.truncate(before);
                if form {
                    let writes = vec![self.write(&unanswered, when).await?];
                    // Where this fails the onboarding stays as it is until its time is over.
                    let _ = self.inner.store.commit(Commit { writes, ..Commit::default() }).await;
                }
                Err(e)
            }
            done => done,
        }
    }

    /// Asks the platform what comes next until it is something that only a person can do, and writes that down.
    async fn work(&self, mut progress: Progress, when: When, before: usize) -> Result<Onboarding, OnboardError> {
        for _ in 0..SENDS_MAX {
            match self.next(&mut progress).await? {
                Next::Step(status) => return self.pause(progress, status, when).await,
                Next::Problem(Problem { field, message }) => {
                    let field = field.map(str::to_owned);
                    if progress.answers.len() > before {
                        return Err(OnboardError::Problem { field, message });
                    }
                    return self.end(progress, Status::Failed(message), when).await;
                }
                Next::Draft(draft) => match self.keep_draft(&mut progress, &draft).await? {
                    Some(status) => return self.end(progress, status, when).await,
                    // The app is there: go on with installing it.
                    None => progress.answers.clear(),
                },
            }
        }
        self.end(progress, Status::Failed("the platform asked for too much".to_owned()), when).await
    }

    /// One step; requests are made on the way.
    async fn next(&self, progress: &mut Progress) -> Result<Next, Unavailable> {
        let Some(platform) = platform(&progress.platform) else {
            let message = "this platform is not there any more".to_owned();
            return Ok(Next::Step(Status::Failed(message)));
        };
        let app = match &progress.app {
            Some(app) => self.open(app).await?,
            None => None,
        };
        for _ in 0..SENDS_MAX {
            let step = progress.step(platform, app.as_ref().map(|open| &open.opened));
            let request = match step {
                Err(problem) => return Ok(Next::Problem(problem)),
                Ok(Step::Ask(form)) => return Ok(Next::Step(Status::Ask(question(&form)))),
                Ok(Step::Visit(url)) => return Ok(Next::Step(Status::Visit(url.into()))),
                Ok(Step::Done(draft)) => return Ok(Next::Draft(draft)),
                Ok(Step::Send(request)) => *request,
            };
            let account = stranger(progress.owner.clone(), &progress.platform);
            match self.inner.wire.http(&account, request).await {
                Ok(response) => progress.answers.push(Given::response(&response)),
                Err(e) => return Ok(Next::Problem(Problem { field: None, message: e.to_string() })),
            }
        }
        Ok(Next::Step(Status::Failed("the platform asked for too many requests".to_owned())))
    }

    /// Saves what was found. `None`: it was the app, and its installation comes next.
    async fn keep_draft(&self, progress: &mut Progress, draft: &Draft) -> Result<Option<Status>, Unavailable> {
        if draft.platform != progress.platform {
            return Ok(Some(Status::Failed("the platform gave an account of another one".to_owned())));
        }
        if let Some(renew) = &progress.renew {
            return Ok(Some(self.renew_with(&progress.owner, renew, draft).await?));
        }
        if let Some(why) = self.taken(&progress.owner, &draft.place).await? {
            return Ok(Some(Status::Failed(why)));
        }
        let account = match self.add_account(&progress.owner, draft).await {
            Ok(account) => account,
            // Another owner was quicker.
            Err(e) => match self.taken(&progress.owner, &draft.place).await? {
                Some(why) => return Ok(Some(Status::Failed(why))),
                None => return Err(e),
            },
        };
        if draft.place == Place::App && progress.app.is_none() {
            progress.app = Some(account.id);
            return Ok(None);
        }
        Ok(Some(Status::Done(account.id)))
    }

    /// Renews an account in place by a draft, if it is the same.
    async fn renew_with(&self, owner: &OwnerId, id: &AccountId, draft: &Draft) -> Result<Status, Unavailable> {
        let renewed = self
            .change_secrets(id, |account, secrets| {
                if account.owner != *owner {
                    return Err(format!("the account {id} is another owner's by now"));
                }
                if let Some(why) = differs(account, secrets, draft) {
                    return Err(why);
                }
                draft.secrets.expose().for_each(|(name, value)| secrets.set(name, value));
                if let Some(key) = &draft.identity.key {
                    account.identity = Identity { key: Some(key.clone()), name: account.identity.name.clone() };
                }
                if !draft.settings.is_null() {
                    account.settings = draft.settings.clone();
                }
                account.state = AccountState::Ok;
                Ok(())
            })
            .await?;
        Ok(match renewed {
            None => Status::Failed(format!("the account {id} is gone; add it anew")),
            Some(Ok(account)) => Status::Done(account.id),
            Some(Err(why)) => Status::Failed(why),
        })
    }

    /// Writes down a step that a person has to make.
    async fn pause(&self, mut progress: Progress, status: Status, when: When) -> Result<Onboarding, OnboardError> {
        if matches!(status, Status::Failed(_)) {
            return self.end(progress, status, when).await;
        }
        progress.status = status;
        let mut writes = Vec::new();
        if matches!(progress.status, Status::Visit(_)) {
            // A state is good once: after a return the next visit has another.
            if progress.answers.iter().any(|given| matches!(given, Given::Returned(_))) {
                progress.state = self.random_token()?;
                if let Some(platform) = platform(&progress.platform) {
                    let app = match &progress.app {
                        Some(app) => self.open(app).await?,
                        None => None,
                    };
                    if let Ok(Step::Visit(url)) = progress.step(platform, app.as_ref().map(|open| &open.opened)) {
                        progress.status = Status::Visit(url.into());
                    }
                }
            }
            let whose = (progress.owner.clone(), progress.id.clone());
            writes.push(rows::put(keys::onboarding_state(&progress.state), &whose, progress.expires(), When::Always));
        }
        writes.push(self.write(&progress, when).await?);
        self.settle_onboarding(progress, writes).await
    }

    /// Writes down the end, and forgets what was answered.
    async fn end(&self, mut progress: Progress, status: Status, when: When) -> Result<Onboarding, OnboardError> {
        progress.answers.clear();
        progress.status = status;
        let writes = vec![
            self.write(&progress, when).await?,
            Write::Delete { key: keys::onboarding_state(&progress.state), when: When::Always },
        ];
        self.settle_onboarding(progress, writes).await
    }

    async fn settle_onboarding(&self, progress: Progress, writes: Vec<Write>) -> Result<Onboarding, OnboardError> {
        match self.inner.store.commit(Commit { writes, ..Commit::default() }).await {
            Ok(_) => Ok(progress.shown()),
            // It was cancelled meanwhile.
            Err(CommitError::Conflict) => Err(OnboardError::Gone),
            Err(CommitError::Unavailable(e)) => Err(e.into()),
        }
    }

    async fn spend(&self, state: &str) -> Result<Vec<Write>, OnboardError> {
        let key = keys::onboarding_state(state);
        let row = self.inner.store.get(&key).await?.ok_or(OnboardError::Gone)?;
        Ok(vec![Write::Delete { key, when: When::Version(row.version) }])
    }

    async fn write(&self, progress: &Progress, when: When) -> Result<Write, Unavailable> {
        let context = context(&progress.owner, &progress.id);
        let sealed = self.inner.vault.seal(&context, &rows::encode(progress)).await?;
        Ok(rows::put(keys::onboarding(&progress.owner, &progress.id), &sealed, progress.expires(), when))
    }

    async fn progress(&self, owner: &OwnerId, id: &str) -> Result<Option<(Progress, u64)>, Unavailable> {
        let key = keys::onboarding(owner, id);
        let Some(kept) = rows::load::<Sealed>(&*self.inner.store, &key).await? else { return Ok(None) };
        let clear = self.inner.vault.open(&context(owner, id), &kept.value).await?;
        let read = serde_json::from_slice(&clear);
        let progress: Progress = read.map_err(|_| Unavailable::new("an onboarding can't be read; start it again"))?;
        Ok(Some((progress, kept.version)))
    }
}

impl Progress {
    fn step(&self, platform: &dyn Platform, app: Option<&Opened>) -> Result<Step, Problem> {
        let answers: Vec<Answer> = self.answers.iter().map(Given::answer).collect();
        platform.onboard(&Desk { back: &self.back, state: &self.state, app, at: self.at }, &answers)
    }

    fn expires(&self) -> Option<Timestamp> {
        self.at.checked_add(KEEP).ok()
    }

    fn shown(self) -> Onboarding {
        let Self { id, owner, platform, app, at, status, .. } = self;
        Onboarding { id, owner, platform, app, at, status }
    }
}

impl Given {
    fn response(response: &http::Response<Bytes>) -> Self {
        let headers = response.headers().iter();
        Self::Response {
            status: response.status().as_u16(),
            headers: headers.filter_map(|(n, v)| Some((n.to_string(), v.to_str().ok()?.to_owned()))).collect(),
            body: data_encoding::BASE64.encode(response.body()),
        }
    }

    fn answer(&self) -> Answer {
        match self {
            Self::Fields(fields) => Answer::Fields(fields.clone()),
            Self::Returned(query) => Answer::Returned(query.clone()),
            Self::Response { status, headers, body } => {
                let body = data_encoding::BASE64.decode(body.as_bytes()).unwrap_or_default();
                let mut response = http::Response::builder().status(*status);
                for (name, value) in headers {
                    response = response.header(name, value);
                }
                // It was a response before it was kept, so it is one again.
                Answer::Response(response.body(Bytes::from(body)).unwrap_or_default())
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Fields(map) | Self::Returned(map) => map.iter().map(|(name, value)| name.len() + value.len()).sum(),
            Self::Response { body, .. } => body.len(),
        }
    }
}

fn question(form: &Form) -> Question {
    let fields = form.fields.iter().map(|field| Asked {
        name: field.name.to_owned(),
        label: field.label.to_owned(),
        help: field.help.to_owned(),
        optional: field.optional,
        secret: field.secret,
    });
    Question { title: form.title.to_owned(), fields: fields.collect() }
}

/// Why a draft is not the account; a sentence that says which it is.
fn differs(account: &Account, secrets: &Secrets, draft: &Draft) -> Option<String> {
    let same = match (&account.place, &draft.place) {
        (Place::Installed { app, tenant }, Place::Installed { app: theirs, tenant: its }) => {
            app == theirs && tenant == its
        }
        (Place::Alone, Place::Alone) | (Place::App, Place::App) => match (&account.identity.key, &draft.identity.key) {
            _ if account.endpoint != draft.endpoint => false,
            (Some(known), Some(new)) => known == new,
            _ if account.identity.name == draft.identity.name => true,
            // It was added another way, and is called otherwise for that.
            _ => {
                account.place == Place::Alone
                    && platform(&account.platform).is_some_and(|platform| {
                        let opened = Opened { account: account.clone(), secrets: secrets.clone() };
                        platform.likeness(&opened, draft) != Likeness::Unlike
                    })
            }
        },
        _ => false,
    };
    (!same).then(|| {
        let (was, is) = (&account.identity.name, &draft.identity.name);
        format!("this account is {was}, and you signed in as {is}: sign in as {was}, or add {is} as another account")
    })
}

/// What a sealed onboarding is bound to.
fn context(owner: &OwnerId, id: &str) -> String {
    keys::join(&["onboarding", owner.as_str(), id])
}
