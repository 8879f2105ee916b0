//! Compiles the protobuf schema without protoc; messages, their JSON form and, behind `rpc`, the service.
use prost::Message;
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = ["gatefleet/snapshot/v1/snapshot.proto", "gatefleet/snapshot/v1/service.proto"];
    let set = protox::compile(files, ["proto"])?;
    pbjson_build::Builder::new()
        .btree_map(["."])
        .register_descriptors(&set.encode_to_vec())?
        .build(&[".gatefleet"])?;
    let mut config = prost_build::Config::new();
    config.btree_map(["."]).bytes(["."]);
    tonic_prost_build::configure()
        .build_transport(false)
        .server_mod_attribute(".", "#[cfg(feature = \"rpc\")]")
        .client_mod_attribute(".", "#[cfg(feature = \"rpc\")]")
        .compile_fds_with_config(set, config)?;
    Ok(())
}
