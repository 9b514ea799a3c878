//! Counts as CloudWatch metrics, without a call: log lines in the embedded metric format, which CloudWatch Logs reads
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
//! It must not know what is counted; names and numbers are all that it writes.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sameroom_engine::ports::Clock;
use sameroom_model::Timestamp;
use serde_json::{Map, Value, json};

/// How long counts gather before they are written.
const EVERY: Duration = Duration::from_mins(1);
const NAMESPACE: &str = "Sameroom";
/// The only dimension: which program counted.
const DIMENSION: &str = "Role";

/// Gathers counts and writes them as log lines. Clones gather together.
#[derive(Clone)]
pub struct Emf(Arc<Inner>);

struct Inner {
    role: String,
    clock: Arc<dyn Clock>,
    gathered: Mutex<Gathered>,
}

struct Gathered {
    counts: BTreeMap<String, i64>,
    since: Option<Timestamp>,
    out: Box<dyn Write + Send>,
}

impl Emf {
    /// Counts of a program, such as `relay` or `worker`, written to standard output.
    pub fn new(role: &str, clock: Arc<dyn Clock>) -> Self {
        Self::to(role, clock, std::io::stdout())
    }

    /// Likewise, written elsewhere.
    pub fn to(role: &str, clock: Arc<dyn Clock>, out: impl Write + Send + 'static) -> Self {
        let gathered = Gathered { counts: BTreeMap::new(), since: None, out: Box::new(out) };
        Self(Arc::new(Inner { role: role.to_owned(), clock, gathered: Mutex::new(gathered) }))
    }

    /// Counts. The first count after a line was written starts the time to the next.
    pub fn count(&self, name: &str, count: i64) {
        let now = self.0.clock.now();
        let mut gathered = self.lock();
        gathered.since.get_or_insert(now);
        match gathered.counts.get_mut(name) {
            Some(sum) => *sum += count,
            None => drop(gathered.counts.insert(name.to_owned(), count)),
        }
    }

    /// Writes a line if counts have gathered for a minute: to be called at the end of a batch, since a Lambda may not
    /// wake for a while.
    pub fn flush_if_due(&self) {
        let now = self.0.clock.now();
        let mut gathered = self.lock();
        let waited = gathered.since.map(|since| now.duration_since(since).try_into().unwrap_or(Duration::ZERO));
        if waited.is_some_and(|waited| waited >= EVERY) {
            gathered.write(&self.0.role, now);
        }
    }

    /// Writes a line if anything was counted.
    pub fn flush(&self) {
        let now = self.0.clock.now();
        self.lock().write(&self.0.role, now);
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.0.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    fn write(&mut self, role: &str, now: Timestamp) {
        self.since = None;
        let counts = std::mem::take(&mut self.counts);
        if counts.is_empty() {
            return;
        }
        let metrics: Vec<Value> = counts.keys().map(|name| json!({"Name": name, "Unit": "Count"})).collect();
        let directive = json!({"Namespace": NAMESPACE, "Dimensions": [[DIMENSION]], "Metrics": metrics});
        let mut line = Map::new();
        let about = json!({"Timestamp": now.as_millisecond(), "CloudWatchMetrics": [directive]});
        line.insert("_aws".to_owned(), about);
        line.insert(DIMENSION.to_owned(), role.into());
        line.extend(counts.into_iter().map(|(name, count)| (name, count.into())));
        // One write, so that lines of other writers don't come between.
        let text = format!("{}\n", Value::Object(line));
        if self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).is_err() {
            tracing::debug!("metrics could not be written");
        }
    }
}

impl fmt::Debug for Emf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emf").field("role", &self.0.role).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Turned(Arc<Mutex<i64>>);

    impl Clock for Turned {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(1_780_315_200 + *self.0.lock().unwrap()).unwrap()
        }
    }

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Page {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    #[test]
    fn counts_gather_for_a_minute() {
        let (clock, page) = (Turned::default(), Page::default());
        let emf = Emf::to("relay", Arc::new(clock.clone()), page.clone());
        emf.flush_if_due();
        emf.flush();
        assert_eq!(page.take(), "");
        emf.count("Delivered", 2);
        emf.count("Delivered", 1);
        emf.count("Dead", 1);
        *clock.0.lock().unwrap() = 59;
        emf.flush_if_due();
        assert_eq!(page.take(), "");
        *clock.0.lock().unwrap() = 60;
        emf.flush_if_due();
        let line = page.take();
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["Delivered"], &line["Dead"], &line["Role"]), (&json!(3), &json!(1), &json!("relay")));
        assert_eq!(line["_aws"]["Timestamp"], json!(1_780_315_260_000_i64));
        let metrics = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!((&metrics["Namespace"], &metrics["Dimensions"]), (&json!("Sameroom"), &json!([["Role"]])));
        assert_eq!(metrics["Metrics"][1], json!({"Name": "Delivered", "Unit": "Count"}));
        emf.count("Dead", 1);
        emf.flush_if_due();
        assert_eq!(page.take(), "");
        emf.flush();
        assert!(page.take().contains("\"Dead\":1"));
    }
}
