/** Stands between clients and a Redis that a cluster is to replace. */
export { type ProxyReport, reportOf, startProxyAdmin } from './admin.ts';
export { MODES, type Mode } from './mode.ts';
export { DEFAULT_DRAIN_MS, DEFAULT_SETTLE_MS, ModeChangeError, type ProxyOptions, RedisProxy } from './proxy.ts';
export { ProxyState, ProxyStateError } from './state.ts';
