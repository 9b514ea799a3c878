//! Calls of AWS by somebody else than our functions: the operator, or somebody in a role of the stack. A Python process
//! makes them, with AWS's own SDK.

use std::time::Duration;

use sameroom_tests::process::{Program, command};
use serde_json::{Value, json};

use crate::cloud::{Cloud, tool};

/// How long a call may take.
const CALL: Duration = Duration::from_secs(120);

/// Somebody who calls AWS.
pub(crate) struct Calls {
    program: Program,
    answered: usize,
}

/// A call that was refused: AWS's code, and its words.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: String,
    pub(crate) why: String,
}

impl Calls {
    /// The operator of that cloud.
    pub(crate) fn of(cloud: &Cloud) -> Self {
        let mut python = command(tool("venv-sam", "python"));
        python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/stack/calls.py")).envs(cloud.variables());
        Self { program: Program::start("calls.py", python), answered: 0 }
    }

    /// Calls as the operator, who may do everything.
    pub(crate) async fn does(&mut self, service: &str, operation: &str, args: Value) -> Value {
        let done = self.tries(None, service, operation, args).await;
        done.unwrap_or_else(|refused| panic!("{service} {operation}: {} {}", refused.code, refused.why))
    }

    /// Calls, perhaps in a role.
    pub(crate) async fn tries(
        &mut self,
        role: Option<&str>,
        service: &str,
        operation: &str,
        args: Value,
    ) -> Result<Value, Refused> {
        let asked = json!({"service": service, "operation": operation, "args": args, "role": role});
        self.program.tell(&asked.to_string()).await;
        loop {
            if let Some(line) = self.program.lines(self.answered).into_iter().next() {
                self.answered += 1;
                let mut told: Value = serde_json::from_str(&line).expect("calls.py answers in JSON");
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                return match told["error"].as_str() {
                    Some(_) => Err(Refused { code: text(&told["error"]), why: text(&told["why"]) }),
                    None => Ok(told["ok"].take()),
                };
            }
            let more = self.program.news(CALL).await || !self.program.lines(self.answered).is_empty();
            assert!(more, "{service} {operation} was not answered");
        }
    }

    /// What a program in that role is given by AWS to prove it.
    pub(crate) async fn credentials(&mut self, role: &str) -> [(&'static str, String); 3] {
        let given = self.tries(Some(role), "", "credentials", json!({})).await.expect("the role can be taken");
        let text = |name: &str| given[name].as_str().unwrap_or_default().to_owned();
        [
            ("AWS_ACCESS_KEY_ID", text("id")),
            ("AWS_SECRET_ACCESS_KEY", text("secret")),
            ("AWS_SESSION_TOKEN", text("token")),
        ]
    }

    /// The outputs of a stack, by name.
    pub(crate) async fn outputs(&mut self, stack: &str) -> std::collections::BTreeMap<String, String> {
        let told = self.does("cloudformation", "describe_stacks", json!({"StackName": stack})).await;
        let outputs = told["Stacks"][0]["Outputs"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        outputs.iter().map(|output| (text(&output["OutputKey"]), text(&output["OutputValue"]))).collect()
    }
}
