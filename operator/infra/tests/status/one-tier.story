# generation | pods north-south | pods east-west | selected | Event | phase, Ready, abnormal conditions: message
1 | CC    | -   | no  | Normal NothingSelects           | Running True/NothingSelects: 1 tier, 2 of 2 proxies ready; nothing selects the fleet: create an IngressClass whose parameters name it, or set spec.ingress.ingressClass
1 | CC    | -   | yes | Normal Acknowledged             | Listening True/Acknowledged: 1 tier, 2 of 2 proxies hold the current configuration
1 | CC    | -   | no  | Normal NothingSelects           | Running True/NothingSelects: 1 tier, 2 of 2 proxies ready; nothing selects the fleet: create an IngressClass whose parameters name it, or set spec.ingress.ingressClass
# Nobody waits for a tier that nobody uses.
2 | BB    | -   | no  |                                 | Running True/NothingSelects: 1 tier, 2 of 2 proxies ready; nothing selects the fleet: create an IngressClass whose parameters name it, or set spec.ingress.ingressClass
