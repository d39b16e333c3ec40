//! ClickHouse over https, with a TLS terminator before the real server: a private authority is trusted and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use support::authority::{Authority, DAY};
use support::bridge::{Bridge, Config, PATIENCE, run_command};
use support::fixture::Fixture;
use support::servers::ClickHouse;
use support::wait_until;

/// How long one side is listened to while the other may speak.
const TICK: Duration = Duration::from_millis(2);

/// Speaks TLS with the certificate that the authority signed last, and plain HTTP with ClickHouse; its port.
fn terminate_tls(authority: &Authority, clickhouse: &ClickHouse) -> u16 {
    let chain = CertificateDer::pem_file_iter(authority.path("cert.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(authority.path("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = (clickhouse.address.host.clone(), clickhouse.address.port);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (config, server) = (Arc::clone(&config), server.clone());
            // Either side may end its connection at any time.
            std::thread::spawn(move || client.and_then(|client| relay(client, TcpStream::connect(server)?, config)));
        }
    });
    port
}

fn relay(client: TcpStream, mut server: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
    client.set_read_timeout(Some(TICK))?;
    server.set_read_timeout(Some(TICK))?;
    client.set_nodelay(true)?;
    let mut client = StreamOwned::new(ServerConnection::new(config).map_err(io::Error::other)?, client);
    let mut buffer = vec![0; 256 << 10];
    loop {
        pass_on(&mut client, &mut server, &mut buffer)?;
        pass_on(&mut server, &mut client, &mut buffer)?;
    }
}

fn pass_on(from: &mut impl Read, to: &mut impl Write, buffer: &mut [u8]) -> io::Result<()> {
    match from.read(buffer) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(length) => to.write_all(&buffer[..length]).and_then(|()| to.flush()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
        Err(error) => Err(error),
    }
}

fn over_tls(test: &Fixture, host: &str, port: u16, ca: &Authority) -> Config {
    let mut config = test.config();
    config.set("clickhouse.url", format!("https://{host}:{port}"));
    config.set("clickhouse.tls_ca", ca.path("ca.pem").display().to_string());
    config
}

#[test]
fn the_whole_way_over_https_with_a_private_authority() {
    let test = Fixture::new("https");
    test.sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY, v MEDIUMTEXT);\nINSERT INTO t VALUES (1, 'copied');");
    let authority = Authority::new();
    authority.sign(&["127.0.0.1", "localhost"], DAY);
    let port = terminate_tls(&authority, &test.servers.clickhouse);
    let config = over_tls(&test, "127.0.0.1", port, &authority);
    let ended = run_command("check", &config);
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO t VALUES (2, REPEAT('ä', 2000000));\nALTER TABLE t ADD COLUMN n INT;");
    for id in 10..60 {
        test.sql(&format!("INSERT INTO t VALUES ({id}, REPEAT('x', {id}), {id})"));
    }
    bridge.wait_all_streaming(&test, PATIENCE);
    test.assert_equal("t");
    let ended = run_command("verify", &config);
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    assert_eq!(bridge.sigterm(), Some(0));
    let by_name = run_command("check", &over_tls(&test, "localhost", port, &authority));
    assert_eq!(by_name.code, Some(0), "{}", by_name.text());
}

#[test]
fn certificates_that_must_not_be_taken() {
    let test = Fixture::new("https_refused");
    test.sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY)");
    let (authority, other) = (Authority::new(), Authority::new());
    let refused = |config: &Config, what: &str| {
        for command in ["check", "run"] {
            let ended = run_command(command, config);
            assert_ne!(ended.code, Some(0), "{what}: {}", ended.text());
            let said = ended.text();
            assert!(said.contains("invalid peer certificate") && said.contains("clickhouse.tls_ca"), "{what}: {said}");
        }
        assert!(test.clickhouse_tables().is_empty(), "{what}");
    };
    authority.sign(&["127.0.0.1"], DAY);
    let port = terminate_tls(&authority, &test.servers.clickhouse);
    assert_eq!(run_command("check", &over_tls(&test, "127.0.0.1", port, &authority)).code, Some(0));
    refused(&over_tls(&test, "127.0.0.1", port, &other), "another authority");
    refused(&over_tls(&test, "localhost", port, &authority), "another name");
    authority.sign(&["127.0.0.1"], Duration::ZERO);
    let end = Instant::now() + Duration::from_secs(2);
    let port = terminate_tls(&authority, &test.servers.clickhouse);
    wait_until("the certificate's end", PATIENCE, || Instant::now() > end);
    refused(&over_tls(&test, "127.0.0.1", port, &authority), "past its date");
    // A server that speaks no TLS.
    let plain = test.servers.clickhouse.address.port;
    let ended = run_command("check", &over_tls(&test, "127.0.0.1", plain, &authority));
    assert_ne!(ended.code, Some(0), "{}", ended.text());
}
