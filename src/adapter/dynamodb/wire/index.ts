/**
 * The wire: HTTP in, JSON trees through, HTTP out. `port` has the connections, which begin as a `lean-connection`, `exchange` what happens to one request,
 * `head` and `gate` what is decided by its head, `signature`, `signing-key` and `credentials` who it comes from, `body`, `json-body` and `typed-tree` how
 * bytes become the tree of a request, `answer` how a tree becomes bytes. Knows no operation: they are handed in.
 */

export type { OperationCounters, PortCounters } from './counters.ts';
export { type CredentialSettings, Credentials, isAccessKeyId } from './credentials.ts';
export { type ExchangeLogger, Exchanges } from './exchange.ts';
export { MemoryBudget } from './memory-budget.ts';
export { HttpPort } from './port.ts';
