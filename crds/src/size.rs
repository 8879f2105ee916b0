//! What one proxy gets in one word.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Quantity, ResourceLimits, ResourceRequests, Resources};

/// CPU and memory of one proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Size {
    /// 2 CPUs, 4 GiB.
    #[serde(rename = "2c4g")]
    C2G4,
    /// 4 CPUs, 8 GiB.
    #[serde(rename = "4c8g")]
    C4G8,
    /// 8 CPUs, 16 GiB.
    #[serde(rename = "8c16g")]
    C8G16,
    /// 16 CPUs, 32 GiB.
    #[serde(rename = "16c32g")]
    C16G32,
}

impl Size {
    /// Requests of both, a limit of memory alone: idle CPU of the node is used rather than throttled.
    #[must_use]
    pub fn resources(self) -> Resources {
        let (cpu, memory) = match self {
            Self::C2G4 => ("2", "4Gi"),
            Self::C4G8 => ("4", "8Gi"),
            Self::C8G16 => ("8", "16Gi"),
            Self::C16G32 => ("16", "32Gi"),
        };
        Resources {
            requests: ResourceRequests { cpu: Quantity::new(cpu), memory: Quantity::new(memory) },
            limits: ResourceLimits { cpu: None, memory: Some(Quantity::new(memory)) },
        }
    }
}
