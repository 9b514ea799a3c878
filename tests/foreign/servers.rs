//! IRC servers as Debian ships them, each with a configuration in a folder of its own. Which lines of configuration are
//! needed was found by running them; the servers' manuals are ngircd.conf(5), <https://docs.inspircd.org/3/> and
//! Atheme's dist/atheme.conf.example.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use sameroom_tests::process::{Program, command_as_nobody, folder, give, port};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::certs::Ca;
use crate::gate::Gate;

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(15);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ngircd,
    Inspircd,
}

/// How a server is set up.
#[derive(Clone, Copy, Default)]
pub(crate) struct Options<'a> {
    /// Without flood limits; else they are as shipped.
    pub(crate) unlimited: bool,
    /// With a TLS port, its certificate signed by this CA.
    pub(crate) tls: Option<&'a Ca>,
    /// With Atheme's services beside it (InspIRCd only).
    pub(crate) services: bool,
    /// How many connections one address may have; 0: any number.
    pub(crate) per_address: u32,
    /// The password of gateways that say whose connection they open.
    pub(crate) webirc: Option<&'a str>,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
    folder: TempDir,
    program: Program,
    services: Option<Program>,
    /// What our binary has to pass, where there is one.
    pub(crate) gate: Option<Gate>,
}

impl Server {
    /// Starts a server as it is shipped.
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::with(kind, Options::default()).await
    }

    /// Starts a server without flood limits.
    pub(crate) async fn unlimited(kind: Kind) -> Self {
        Self::with(kind, Options { unlimited: true, ..Options::default() }).await
    }

    /// Starts a server.
    pub(crate) async fn with(kind: Kind, options: Options<'_>) -> Self {
        let (folder, port, tls_port, link) = (folder(), self::port(), self::port(), self::port());
        if let Some(ca) = options.tls {
            let (cert, key) = ca.server();
            write(folder.path(), "cert.pem", &cert);
            write(folder.path(), "key.pem", &key);
        }
        let config = match kind {
            Kind::Ngircd => ngircd(folder.path(), port, tls_port, options),
            Kind::Inspircd => inspircd(folder.path(), port, tls_port, link, options),
        };
        write(folder.path(), "server.conf", &config);
        let program = launch(kind, folder.path());
        let mut server = Self { kind, port, tls_port, folder, program, services: None, gate: None };
        server.listens().await;
        if options.services {
            server.services = Some(services(server.folder.path(), link));
        }
        server
    }

    /// The URL of a channel, for our binary; `more` is what follows, such as `?rate=0`.
    pub(crate) fn room(&self, channel: &str, more: &str) -> String {
        let port = self.gate.as_ref().map_or(self.port, |gate| gate.port);
        format!("irc://127.0.0.1:{port}/{channel}{more}")
    }

    /// Our binary has to pass a gate from now on.
    pub(crate) async fn behind_a_gate(mut self) -> Self {
        self.gate = Some(Gate::before(self.port).await);
        self
    }

    /// Kills it, as a power cut would.
    pub(crate) async fn kill(&mut self) {
        self.program.kill().await;
    }

    /// Starts it again, on the same port.
    pub(crate) async fn restart(&mut self) {
        self.program = launch(self.kind, self.folder.path());
        self.listens().await;
    }

    async fn listens(&mut self) {
        let until = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(Instant::now() < until, "{:?} does not listen:\n{}", self.kind, self.program.said());
            sleep(Duration::from_millis(30)).await;
        }
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file can be written");
    give(&path);
}

fn launch(kind: Kind, folder: &Path) -> Program {
    let config = folder.join("server.conf");
    let mut command;
    match kind {
        Kind::Ngircd => {
            command = command_as_nobody("ngircd");
            command.arg("-n").arg("-f").arg(config);
        }
        Kind::Inspircd => {
            command = command_as_nobody("inspircd");
            command.args(["--nofork", "--config"]).arg(config);
        }
    }
    // Debian keeps servers where only root's PATH leads.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin")).current_dir(folder);
    Program::start(if kind == Kind::Ngircd { "ngircd" } else { "inspircd" }, command)
}

fn ngircd(folder: &Path, port: u16, tls_port: u16, options: Options<'_>) -> String {
    // All connections of a test come from one address.
    let mut text = format!(
        "[Global]\nName = irc.ngircd.test\nInfo = x\nListen = 127.0.0.1\nPorts = {port}\nMotdPhrase = hello\n\
         [Limits]\nMaxConnectionsIP = {}\nMaxNickLength = 30\n{}\
         [Options]\nDNS = no\nIdent = no\nPAM = no\n{}",
        options.per_address,
        if options.unlimited { "MaxPenaltyTime = 0\n" } else { "" },
        options.webirc.map(|password| format!("WebircPassword = {password}\n")).unwrap_or_default()
    );
    if options.tls.is_some() {
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        let _ = write!(text, "[SSL]\nCertFile = {}\nKeyFile = {}\nPorts = {tls_port}\n", cert.display(), key.display());
    }
    text
}

/// The modules of a network with accounts and IRCv3.
const MODULES: &str = "cap ircv3 ircv3_accounttag ircv3_batch ircv3_capnotify ircv3_chghost ircv3_ctctags \
     ircv3_echomessage ircv3_invitenotify ircv3_labeledresponse ircv3_msgid ircv3_servertime monitor botmode namesx \
     uhnames setname sslinfo services_account";

/// What Atheme needs besides.
const MODULES_OF_SERVICES: &str = "spanningtree svshold hidechans globops sasl deaf servprotect callerid permchannels \
     hideoper banexception inviteexception";

fn inspircd(folder: &Path, port: u16, tls_port: u16, link: u16, options: Options<'_>) -> String {
    let dir = folder.display();
    let limits =
        if options.unlimited { r#"recvq="65536" threshold="100000" commandrate="10000000" fakelag="off""# } else { "" };
    let mut text = format!(
        r#"<server name="irc.test" description="x" id="00A" network="testnet">
<bind address="127.0.0.1" port="{port}" type="clients">
<path configdir="{dir}" datadir="{dir}" logdir="{dir}" runtimedir="{dir}">
<connect allow="*" resolvehostnames="no" useident="no" timeout="20" pingfreq="120" localmax="1000" globalmax="1000" {limits}>
<class name="all" commands="*" privs="*" usermodes="*" chanmodes="*">
<type name="admin" classes="all">
<oper name="oper" password="operpw" host="*@*" type="admin">
<options casemapping="ascii" defaultmodes="not">
<performance nouserdns="yes">
"#
    );
    for module in MODULES.split_whitespace() {
        let _ = writeln!(text, r#"<module name="{module}">"#);
    }
    if options.tls.is_some() {
        let _ = writeln!(
            text,
            r#"<module name="ssl_gnutls">
<sslprofile name="gnutls" provider="gnutls" certfile="{dir}/cert.pem" keyfile="{dir}/key.pem" hash="sha256">
<bind address="127.0.0.1" port="{tls_port}" type="clients" ssl="gnutls">"#
        );
    }
    if let Some(password) = options.webirc {
        let _ = writeln!(
            text,
            r#"<module name="cgiirc">
<cgihost type="webirc" password="{password}" mask="127.0.0.1">"#
        );
    }
    if options.services {
        for module in MODULES_OF_SERVICES.split_whitespace() {
            let _ = writeln!(text, r#"<module name="{module}">"#);
        }
        let _ = writeln!(
            text,
            r#"<bind address="127.0.0.1" port="{link}" type="servers">
<link name="services.test" ipaddr="127.0.0.1" port="{link}" allowmask="127.0.0.1" recvpass="password" sendpass="password">
<uline server="services.test" silent="yes">
<sasl target="services.test" requiressl="no">"#
        );
    }
    text
}

const ATHEME_MODULES: &str = "protocol/inspircd backend/opensex crypto/pbkdf2v2 nickserv/main nickserv/identify \
     nickserv/ghost nickserv/group nickserv/enforce nickserv/set_core nickserv/cert nickserv/register saslserv/main \
     saslserv/external saslserv/plain";

fn services(folder: &Path, link: u16) -> Program {
    let mut text = String::new();
    for module in ATHEME_MODULES.split_whitespace() {
        let _ = writeln!(text, r#"loadmodule "modules/{module}";"#);
    }
    let _ = write!(
        text,
        r#"
serverinfo {{ name = "services.test"; desc = "services"; numeric = "00S"; recontime = 1; netname = "testnet";
  hidehostsuffix = "users.test"; adminname = "x"; adminemail = "admin@example.org"; registeremail = "r@example.org";
  auth = none; casemapping = "ascii"; mta = "/bin/true"; loglevel = {{ error; info; }}; maxlogins = 50; maxusers = 0;
  mdlimit = 30; emaillimit = 1000; emailtime = 300; }};
uplink "irc.test" {{ host = "127.0.0.1"; port = {link}; send_password = "password"; receive_password = "password"; }};
nickserv {{ nick = "NickServ"; user = "NickServ"; host = "services.test"; real = "x"; }};
saslserv {{ nick = "SaslServ"; user = "SaslServ"; host = "services.test"; real = "x"; }};
general {{ commit_interval = 60; flood_msgs = 0; }};
"#
    );
    write(folder, "atheme.conf", &text);
    write(folder, "services.db", "");
    let mut command = command_as_nobody("atheme-services");
    command.arg("-n").arg("-c").arg(folder.join("atheme.conf")).arg("-D").arg(folder);
    command.arg("-l").arg(folder.join("atheme.log")).arg("-p").arg(folder.join("atheme.pid"));
    Program::start("atheme-services", command)
}
