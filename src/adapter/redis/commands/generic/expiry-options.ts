/** The options NX, XX, GT and LT of the EXPIRE family. */

import { optionName, RedisError } from '../../protocol/index.ts';

export interface ExpireConditions {
  /** Only when the key has no expiry. */
  readonly nx: boolean;
  /** Only when the key has one. */
  readonly xx: boolean;
  /** Only when the new expiry is later; no expiry counts as latest. */
  readonly gt: boolean;
  /** Only when the new expiry is earlier. */
  readonly lt: boolean;
}

/** Reads the options from argument 3 on. @throws RedisError when one is unknown or they contradict each other */
export function parseExpireConditions(args: readonly Buffer[]): ExpireConditions {
  const given = new Set<string>();
  for (let index = 3; index < args.length; index++) {
    const name = optionName(args[index]!);
    if (name !== 'NX' && name !== 'XX' && name !== 'GT' && name !== 'LT') {
      throw new RedisError(`ERR Unsupported option ${args[index]!.toString()}`);
    }
    given.add(name);
  }
  const [nx, xx, gt, lt] = [given.has('NX'), given.has('XX'), given.has('GT'), given.has('LT')];
  if (nx && (xx || gt || lt)) {
    throw new RedisError('ERR NX and XX, GT or LT options at the same time are not compatible');
  }
  if (gt && lt) throw new RedisError('ERR GT and LT options at the same time are not compatible');
  return { nx, xx, gt, lt };
}

/**
 * True when the conditions let an expiry replace the present one.
 * @param currentMs unix time of the present expiry, undefined when there is none
 */
export function conditionsHold(
  { nx, xx, gt, lt }: ExpireConditions,
  currentMs: number | undefined,
  nextMs: bigint,
): boolean {
  if (nx && currentMs !== undefined) return false;
  if (xx && currentMs === undefined) return false;
  if (gt && (currentMs === undefined || nextMs <= BigInt(currentMs))) return false;
  return !(lt && currentMs !== undefined && nextMs >= BigInt(currentMs));
}
