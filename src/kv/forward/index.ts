/**
 * To the leader and back: a request runs where its group is led, on this node or another. One outbox a node, a circuit breaker a
 * group and leader, and errors that keep their meaning on the way.
 */

export type { Departures } from './departures.ts';
export { decodeError, encodeError } from './forward-errors.ts';
export type { LocalReplica } from './forward-path.ts';
export type { ProxyLimits, ProxyStats } from './forward-types.ts';
export { forwarded } from './forwarded.ts';
export { GroupRouter, type GroupRouterOptions, type RemoteForm, submit } from './group-router.ts';
export { LeaderProxy } from './proxy.ts';
