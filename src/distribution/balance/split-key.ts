/**
 * Where to cut a hot range: around one key that has most of the load, else at the key nearest to half of the load, else
 * nowhere. A cut between two halves that are not better than the whole only makes more ranges.
 */

import type { Route } from '../contract/index.ts';
import { type KeyRules, PLAIN_KEYS } from '../keyspaces.ts';
import { showKey } from './actions.ts';
import type { LoadDetail } from './load-window.ts';

/** A key that has at least this part of the load is set apart. */
export const DOMINANT_SHARE = 0.8;
/** Weighted operations a minute that such a key must have at least. */
export const DOMINANT_SCORE = 25_000;
/** Part of the load that each side of a cut must have at least. */
export const LEAST_SIDE = 0.2;
/** Fewer samples say nothing about shares. */
export const LEAST_SAMPLES = 500;

/** Keys to cut at, strictly inside the range, or why there are none. */
export type SplitChoice =
  | { readonly kind: 'cut'; readonly keys: readonly Buffer[]; readonly why: string }
  | { readonly kind: 'decline'; readonly why: string };

const percent = (share: number): string => `${Math.round(share * 100)} %`;

const isInside = (key: Buffer, route: Pick<Route, 'start' | 'end'>): boolean =>
  Buffer.compare(key, route.start) > 0 && (route.end === undefined || Buffer.compare(key, route.end) < 0);

/**
 * Chooses where to cut.
 * @param score weighted operations per minute of the whole range
 */
export function chooseSplit(
  route: Pick<Route, 'start' | 'end'>,
  detail: LoadDetail | undefined,
  score: number,
  rules: KeyRules = PLAIN_KEYS,
): SplitChoice {
  const decline = (why: string): SplitChoice => ({ kind: 'decline', why });
  if (detail === undefined || !detail.isAligned)
    return decline('how its load lies within it was not watched for a whole window');
  if (detail.sampledOps < LEAST_SAMPLES) return decline(`only ${detail.sampledOps} operations were sampled`);
  const top = detail.topKeys[0];
  if (top !== undefined && top.leastShare >= DOMINANT_SHARE && top.leastShare * score >= DOMINANT_SCORE) {
    const keys = [rules.align(top.key), rules.after(top.key)].filter((key) => isInside(key, route));
    if (keys.length === 0) return decline(`it is the one key ${showKey(top.key)}, which cannot be cut`);
    return {
      kind: 'cut',
      keys,
      why: `key ${showKey(top.key)} alone has at least ${percent(top.leastShare)} of its load`,
    };
  }
  return half(route, detail, rules);
}

/** The cut nearest to half of the load. */
function half(route: Pick<Route, 'start' | 'end'>, detail: LoadDetail, rules: KeyRules): SplitChoice {
  const total = detail.weights.reduce((sum, weight) => sum + weight, 0);
  let below = 0;
  let best: { key: Buffer; share: number } | undefined;
  for (const [at, bound] of detail.bounds.entries()) {
    below += detail.weights[at] ?? 0;
    const share = total === 0 ? 0 : below / total;
    if (best !== undefined && Math.abs(share - 0.5) >= Math.abs(best.share - 0.5)) continue;
    const key = rules.align(bound);
    // A bound in the middle of an object is moved in front of it, where the shares are others: not known, so not used.
    if (isInside(key, route) && key.equals(bound)) best = { key, share };
  }
  if (best === undefined || Math.min(best.share, 1 - best.share) < LEAST_SIDE) {
    return {
      kind: 'decline',
      why: `no key divides its load better than ${percent(LEAST_SIDE)} to ${percent(1 - LEAST_SIDE)}`,
    };
  }
  return { kind: 'cut', keys: [best.key], why: `${percent(best.share)} of its load lies below ${showKey(best.key)}` };
}
