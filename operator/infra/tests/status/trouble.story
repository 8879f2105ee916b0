# generation | pods north-south | pods east-west | selected | Event | phase, Ready, abnormal conditions: message
1 | hs    | -   | yes | Normal TierUnavailable          | Pending False/TierUnavailable Reconciling: tier north-south: 0 of 2 proxies ready: ErrImageNeverPull: no such binary
1 | CR    | -   | yes | Warning ConfigurationRefused    | Failed False/ConfigurationRefused Stalled: a proxy of tier north-south refuses listener/http: port 10000 is in use
1 | CC    | -   | yes | Normal Acknowledged             | Listening True/Acknowledged: 1 tier, 2 of 2 proxies hold the current configuration
1 | Cl    | -   | yes |                                 | Listening True/Acknowledged: 1 tier, 2 of 2 proxies hold the current configuration
1 | Cx    | -   | yes | Warning ProxyWithoutStream      | Listening True/Acknowledged ConfigurationStale: 1 tier, 2 of 2 proxies hold the current configuration
2 | BR    | -   | yes | Warning ConfigurationRefused    | Failed False/ConfigurationRefused Stalled: a proxy of tier north-south refuses listener/http: port 10000 is in use
