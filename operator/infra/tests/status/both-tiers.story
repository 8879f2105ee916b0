# generation | pods north-south | pods east-west | selected | Event | phase, Ready, abnormal conditions: message
1 | -     | -   | yes | Normal TierUnavailable          | Pending False/TierUnavailable Reconciling: tier north-south: 0 of 3 proxies ready; tier east-west: 0 of 2 proxies ready
1 | sss   | CC  | yes |                                 | Pending False/TierUnavailable Reconciling: tier north-south: 0 of 3 proxies ready
1 | Bss   | CC  | yes | Normal AwaitingAcknowledgement  | Running False/AwaitingAcknowledgement Reconciling: 2 of 3 ready proxies hold generation 1
1 | CBs   | CC  | yes |                                 | Running False/AwaitingAcknowledgement Reconciling: 3 of 4 ready proxies hold generation 1
1 | CCs   | CC  | yes | Normal Acknowledged             | Listening True/Acknowledged: 2 tiers, 4 of 5 proxies hold the current configuration
1 | CCC   | CC  | yes |                                 | Listening True/Acknowledged: 2 tiers, 5 of 5 proxies hold the current configuration
# A proxy that is behind later does not un-say that this generation was acknowledged.
1 | CCB   | CC  | yes |                                 | Listening True/Acknowledged: 2 tiers, 4 of 5 proxies hold the current configuration
1 | CCR   | CC  | yes |                                 | Listening True/Acknowledged: 2 tiers, 4 of 5 proxies hold the current configuration
# A new generation: the phase stays, Ready waits.
2 | BBB   | BB  | yes | Normal AwaitingAcknowledgement  | Listening False/AwaitingAcknowledgement Reconciling: 0 of 5 ready proxies hold generation 2
2 | CBB   | CC  | yes |                                 | Listening False/AwaitingAcknowledgement Reconciling: 3 of 5 ready proxies hold generation 2
2 | CCC   | CC  | yes | Normal Acknowledged             | Listening True/Acknowledged: 2 tiers, 5 of 5 proxies hold the current configuration
# A rolling update surges; proxies that leave do not count.
2 | CCCCt | CCt | yes |                                 | Listening True/Acknowledged: 2 tiers, 6 of 6 proxies hold the current configuration
# One tier loses its last proxy.
2 | CCC   | ts  | yes | Warning TierUnavailable         | Pending False/TierUnavailable Reconciling: tier east-west: 0 of 2 proxies ready
2 | CCC   | Cs  | yes | Normal Acknowledged             | Listening True/Acknowledged: 2 tiers, 4 of 5 proxies hold the current configuration
