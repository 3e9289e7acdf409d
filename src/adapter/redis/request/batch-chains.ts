/**
 * Chains of batches at the leader. A connection may have several batches of one group under way; each says how many requests of its chain were
 * sent before it. A chain lives as long as a leader has seen all of it: once one of its requests was refused, what comes behind is refused too, and a batch
 * whose chain is not known here, or has a gap, is refused as a whole. Then its sender begins another chain when all has come back.
 */
import type { ForwardedBatchMessage } from './forwarded-command.ts';

/** Chains that are remembered; the one that began first is forgotten first. */
const MAX_CHAINS = 16_384;

/** What the requests of all batches of a chain are in order with. */
export class Chain {
  /** See `RequestOwner`. */
  firstRefused = Number.POSITIVE_INFINITY;
  /** Requests that have come. */
  length = 0;
}

/** See the top of the file. */
export class BatchChains {
  private readonly chains = new Map<number, Chain>();

  /** The chain that a batch goes on with, or begins, and is part of from now on; undefined: the batch may not run. */
  join({ chain: at, requests }: ForwardedBatchMessage): Chain | undefined {
    if (at === undefined) return joined(new Chain(), requests.length);
    const chain = at.place === 0 ? this.begin(at.source) : this.chains.get(at.source);
    return chain?.length === at.place ? joined(chain, requests.length) : undefined;
  }

  private begin(source: number): Chain {
    const chain = new Chain();
    this.chains.delete(source);
    this.chains.set(source, chain);
    if (this.chains.size > MAX_CHAINS) this.chains.delete(this.chains.keys().next().value!);
    return chain;
  }
}

function joined(chain: Chain, count: number): Chain {
  chain.length += count;
  return chain;
}
