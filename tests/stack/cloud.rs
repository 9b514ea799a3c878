//! A local AWS, and the stack deployed to it. One server and one stack serve all tests; what needs a stack of its own
//! deploys another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sameroom_tests::process::{Program, folder, port, target};
use serde_json::json;
use tokio::process::Command;
use tokio::time::sleep;

use crate::api::Api;
use crate::calls::Calls;

/// How long the server may take to answer.
const START: Duration = Duration::from_secs(60);
/// How long SAM may take.
const DEPLOY: Duration = Duration::from_secs(300);
/// How often functions' logs are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// The functions.
const FUNCTIONS: [&str; 3] = ["inbound", "relay", "api"];
/// The stack that tests share.
const SHARED: &str = "shared";

/// A local AWS.
#[derive(Clone, Debug)]
pub(crate) struct Cloud {
    port: u16,
}

/// A stack in it.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    pub(crate) cloud: Cloud,
    pub(crate) name: String,
    pub(crate) outputs: BTreeMap<String, String>,
    /// The operator's key.
    pub(crate) key: String,
}

/// A program in an environment of its own, under the target folder.
pub(crate) fn tool(venv: &str, program: &str) -> PathBuf {
    let top = target();
    let top = top.parent().filter(|top| top.join(venv).exists()).map_or(top.clone(), Path::to_owned);
    let path = top.join(venv).join("bin").join(program);
    assert!(path.exists(), "{} is missing: run `tests/run aws`", path.display());
    path
}

/// A program that was built for the stack: laid out as SAM does, under the target folder.
pub(crate) fn built_program(name: &str) -> PathBuf {
    let top = tool("venv-sam", "sam").ancestors().nth(3).expect("it is in the target folder").to_owned();
    let path = if name == "worker" {
        top.join("debug/worker")
    } else {
        top.join("bootstraps/dev").join(name).join("bootstrap")
    };
    assert!(path.exists(), "{name} is not built: run `tests/run aws`");
    path
}

/// The stack that tests share, deployed at its first use.
pub(crate) fn shared() -> &'static Stack {
    static STACK: OnceLock<Option<Stack>> = OnceLock::new();
    let stack = STACK.get_or_init(|| {
        let (tell, told) = std::sync::mpsc::channel();
        // The server ends with this thread, which never ends by itself.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let port = port();
                let (cloud, _server) = Cloud::start(port, &format!("http://127.0.0.1:{port}")).await;
                let began = Instant::now();
                let stack = cloud.deploy(SHARED, &[]).await;
                println!("aws: deployed in {:.0} s", began.elapsed().as_secs_f64());
                let _ = tell.send(stack.clone());
                stack.tells_what_functions_say().await;
            });
        });
        told.recv().ok()
    });
    stack.as_ref().expect("the stack is deployed; what went wrong is told above")
}

impl Cloud {
    /// Starts a server on a port. It ends when the program is dropped. `calls`: where its functions call it.
    pub(crate) async fn start(port: u16, calls: &str) -> (Self, Program) {
        let cloud = Self { port };
        let mut command = Command::new("setpriv");
        // It ends its functions before it ends itself.
        command.arg("--pdeathsig=TERM").arg("--").arg(tool("venv-ministack", "ministack"));
        let files = folder();
        let here = cloud.endpoint();
        command
            .envs([("GATEWAY_PORT", cloud.port.to_string().as_str()), ("AWS_ENDPOINT_URL", calls)])
            .envs([("BIND_HOST", "127.0.0.1"), ("LAMBDA_EXECUTOR", "local"), ("AUTH", "true")])
            .envs([("SFTP_ENABLED", "0"), ("IOT_MTLS_ENABLED", "0")])
            .env("S3_DATA_DIR", files.keep());
        let server = Program::start("ministack", command);
        let until = Instant::now() + START;
        let health = format!("{here}/_ministack/health");
        while reqwest::get(&health).await.is_err() {
            assert!(Instant::now() < until, "ministack does not answer:\n{}", server.said());
            sleep(Duration::from_millis(100)).await;
        }
        (cloud, server)
    }

    /// Where it is.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What tells a program of the operator's to call it.
    pub(crate) fn variables(&self) -> [(&'static str, String); 6] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("SAM_CLI_TELEMETRY", "0".to_owned()),
        ]
    }

    /// Runs SAM, which must succeed.
    pub(crate) async fn sam(&self, folder: &Path, arguments: &[&str]) -> String {
        let mut command = Command::new(tool("venv-sam", "sam"));
        command.args(arguments).current_dir(folder).envs(self.variables()).kill_on_drop(true);
        let ran = tokio::time::timeout(DEPLOY, command.output()).await.expect("SAM ends in time");
        let Output { status, stdout, stderr } = ran.expect("SAM runs");
        let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "sam {arguments:?} failed:\n{out}\n{err}");
        out.into_owned()
    }

    /// Deploys the template of this repository with the functions that were built, or changes a stack that is there.
    pub(crate) async fn deploy(&self, name: &str, parameters: &[(&str, &str)]) -> Stack {
        let folder = built(name);
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
        let fixed = [("Architecture", architecture), ("DeletionProtection", "false"), ("AllowNetworks", "127.0.0.0/8")];
        let given: Vec<String> = fixed.iter().chain(parameters).map(|(key, value)| format!("{key}={value}")).collect();
        let mut arguments = vec!["deploy", "--template", "template.yaml", "--stack-name", name, "--resolve-s3"];
        arguments.extend(["--capabilities", "CAPABILITY_IAM", "--region", "us-east-1", "--no-confirm-changeset"]);
        arguments.extend(["--no-fail-on-empty-changeset", "--parameter-overrides"]);
        arguments.extend(given.iter().map(String::as_str));
        self.sam(&folder, &arguments).await;
        let outputs = Calls::of(self).outputs(name).await;
        let mut stack = Stack { cloud: self.clone(), name: name.to_owned(), outputs, key: String::new() };
        stack.key = stack.first_key(&folder).await;
        stack
    }
}

impl Stack {
    /// Deletes it. `sam delete` does the same on AWS; it does not know the addresses that a local AWS gives to nested
    /// templates.
    pub(crate) async fn delete(&self, aws: &mut Calls) {
        aws.does("cloudformation", "delete_stack", json!({"StackName": self.name})).await;
        let until = Instant::now() + DEPLOY;
        while let Ok(told) = aws.tries(None, "cloudformation", "describe_stacks", json!({"StackName": self.name})).await
        {
            let state = told["Stacks"][0]["StackStatus"].as_str().unwrap_or_default();
            if state == "DELETE_COMPLETE" {
                return;
            }
            assert!(state != "DELETE_FAILED" && Instant::now() < until, "the stack is not deleted: {told}");
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// The first key, as docs/operations.md says.
    async fn first_key(&self, folder: &Path) -> String {
        let event = r#"{"sameroom": "first-key"}"#;
        let arguments = ["remote", "invoke", "ApiFunction", "--stack-name", &self.name, "--event", event];
        let said = self.cloud.sam(folder, &[&arguments[..], &["--region", "us-east-1"]].concat()).await;
        let told: serde_json::Value = said.find('{').and_then(|at| said[at..].trim().parse().ok()).unwrap_or_default();
        told["token"].as_str().unwrap_or_else(|| panic!("no key was told: {said}")).to_owned()
    }

    /// Prints for ever what functions log that is amiss: a failing test is told why.
    async fn tells_what_functions_say(&self) {
        let (mut aws, mut known) = (self.calls(), std::collections::HashSet::new());
        loop {
            sleep(LOOK).await;
            for function in FUNCTIONS {
                let asked = json!({"logGroupName": format!("/sameroom/{}/{function}", self.name)});
                let Ok(told) = aws.tries(None, "logs", "filter_log_events", asked).await else { continue };
                for event in told["events"].as_array().into_iter().flatten() {
                    let said = event["message"].as_str().unwrap_or_default();
                    let amiss = ["\"ERROR\"", "\"WARN\"", "errorType"].iter().any(|word| said.contains(word));
                    if amiss && known.insert(said.to_owned()) {
                        println!("{function}: {}", said.trim());
                    }
                }
            }
        }
    }

    /// An output of the template.
    pub(crate) fn output(&self, name: &str) -> &str {
        self.outputs.get(name).unwrap_or_else(|| panic!("the stack has no output {name}"))
    }

    /// Where a function's URL leads to here: its host names nobody, so the server takes it from the path.
    pub(crate) fn local(&self, output: &str) -> String {
        let url = self.output(output);
        let host = url.split("//").nth(1).and_then(|rest| rest.split('.').next()).unwrap_or_default();
        format!("{}/_aws/lambda-url/{host}", self.cloud.endpoint())
    }

    /// The address of webhooks for an account.
    pub(crate) fn hook(&self, platform: &str, account: &str) -> String {
        format!("{}/hooks/{platform}/{account}", self.local("HooksUrl"))
    }

    /// The API, as the operator.
    pub(crate) fn api(&self) -> Api {
        Api::new(&self.local("Url"), &self.key)
    }

    /// Calls of AWS.
    pub(crate) fn calls(&self) -> Calls {
        Calls::of(&self.cloud)
    }

    /// The name of a resource of the stack.
    pub(crate) async fn resource(&self, calls: &mut Calls, logical: &str) -> String {
        let asked = json!({"StackName": self.name, "LogicalResourceId": logical});
        let told = calls.does("cloudformation", "describe_stack_resource", asked).await;
        let id = told["StackResourceDetail"]["PhysicalResourceId"].as_str();
        id.unwrap_or_else(|| panic!("the stack has no {logical}")).to_owned()
    }
}

/// A folder with the template, whose functions are those that were built: what `sam build` makes, without building.
fn built(name: &str) -> PathBuf {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let top = tool("venv-sam", "sam").ancestors().nth(3).expect("it is in the target folder").to_owned();
    let folder = top.join("aws").join(name);
    let infra = folder.join("infra");
    std::fs::create_dir_all(&infra).expect("a folder can be made");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut template = read(&root.join("template.yaml"));
    for function in FUNCTIONS {
        let code = built_program(function).parent().expect("it is in a folder").to_owned();
        let source = format!("CodeUri: functions/{function}\n");
        assert!(template.contains(&source), "the template builds no {function}");
        template = template.replace(&source, &format!("CodeUri: {}\n", code.display()));
    }
    std::fs::write(folder.join("template.yaml"), template).expect("it can be written");
    for entry in std::fs::read_dir(root.join("infra")).expect("infra is there").flatten() {
        std::fs::copy(entry.path(), infra.join(entry.file_name())).expect("it can be copied");
    }
    folder
}
