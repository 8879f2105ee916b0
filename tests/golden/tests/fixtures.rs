//! Writes the certificates that the cases use: `cargo test -p gatefleet-tests-golden -- --ignored`.

use std::{fs, path::Path};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

#[test]
#[ignore = "writes files"]
fn write_certificates() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for (name, hosts, from, until) in [
        ("shop", &["shop.example", "*.shop.example"][..], 2020, 2120),
        ("other", &["other.example"], 2020, 2120),
        ("expired", &["shop.example"], 2018, 2020),
        ("early", &["shop.example"], 2100, 2120),
    ] {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut parameters = CertificateParams::new(hosts).unwrap();
        parameters.not_before = date_time_ymd(from, 1, 1);
        parameters.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        fs::write(directory.join(format!("{name}.crt")), certificate.pem()).unwrap();
        fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}
