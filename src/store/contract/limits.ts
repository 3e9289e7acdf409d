/** Defaults of `StoreLimits`; docs/design/storage/store.md says why. */
import type { StoreLimits } from './types.ts';

export const DEFAULT_STORE_LIMITS: StoreLimits = {
  inlineBytes: 512,
  flushBytes: 1 << 20,
  flushIntervalMs: 200,
  gatherMs: 20_000,
  holdMs: 10_000,
  bufferBytes: 32 << 20,
  lentBytes: 0,
  cacheBytes: 128 << 20,
  scanPageBytes: 8 << 20,
  deadRunRows: 128,
};
