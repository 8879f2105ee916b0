//! The twelve tables of other languages: the HTTP engine takes what it can serve, and refuses the rest by name.

use std::{fs, path::Path};

use gatefleet_http::{CAPABILITIES, compile::compile_virtual_host};
use gatefleet_snapshot::{read_snapshot, v1::resource::Body};

#[test]
fn the_engine_serves_the_tables_or_says_what_it_lacks() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("languages");
    let (mut served, mut lacking) = (0, Vec::new());
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let snapshot = read_snapshot(&fs::read(&path).unwrap()).unwrap();
        for resource in &snapshot.resources {
            let Some(Body::VirtualHost(host)) = &resource.body else { continue };
            let mut unknown = resource.capabilities.iter();
            match unknown.find(|name| !CAPABILITIES.contains(&name.as_str())) {
                None => {
                    compile_virtual_host(host).unwrap();
                    served += 1;
                }
                Some(name) => {
                    let refusal = compile_virtual_host(host).unwrap_err().to_string();
                    let feature = name.rsplit('.').next().unwrap();
                    assert!(refusal.contains(feature), "{}: {refusal}", path.display());
                    lacking.push(name.clone());
                }
            }
        }
    }
    assert_eq!((served, lacking), (10, vec!["http.mirror".to_owned()]));
}
