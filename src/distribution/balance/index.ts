/** Load of ranges, and the rules that turn load and sizes into splits, merges and moves. Pure: no clock, no I/O. */
export * from './actions.ts';
export { IDLE_WINDOWS, MAX_PAIRS, MERGE_AFTER_SPLIT_MS, planMerges } from './auto-merge.ts';
export { HOT_WINDOWS, planSplits, SPLIT_COOLDOWN_MS } from './hotspots.ts';
export { planLeaders } from './leader-balance.ts';
export { decodeWindow, encodeWindow } from './load-codec.ts';
export { DEFAULT_SAMPLER_LIMITS, LoadSampler, type SamplerLimits } from './load-sampler.ts';
export * from './load-window.ts';
export { LEAST_DIFFERENCE_BYTES, planSizes } from './size-balance.ts';
export { chooseSplit, type SplitChoice } from './split-key.ts';
