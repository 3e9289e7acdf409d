/**
 * Chains of batches at the leader. A connection may have several batches of one group under way; each says how many requests of its chain were
 * sent before it. A chain lives as long as a leader has seen all of it: once one of its requests was refused, what comes behind is refused too, and a batch
 * whose chain is not known here, or has a gap, is refused as a whole. Then its sender begins another chain when all has come back.
 *
 * No two chains have one number. A batch that overtakes the first one of its chain may come to a leader that still knows an earlier chain of the same
 * sender, of just as many requests: it would be taken for the batch behind those.
 */
import type { ForwardedBatchMessage } from './forwarded-command.ts';

/** Numbers that a sender takes at a time, for its chains one after the other: a multiple of it, and those up to the next. */
const CHAINS_A_SENDER = 32;
/** Senders whose last chain is remembered; the one that came first is forgotten first. */
const MAX_CHAINS = 16_384;

/**
 * The number of the chain behind another of the same sender.
 * @param last undefined: it is the first
 * @param take the first of so many numbers that nobody else has, a multiple of their count; undefined: there shall be no chain
 */
export function chainAfter(last: number | undefined, take: (count: number) => number | undefined): number | undefined {
  return last === undefined || (last + 1) % CHAINS_A_SENDER === 0 ? take(CHAINS_A_SENDER) : last + 1;
}

/** What the requests of all batches of a chain are in order with. */
export class Chain {
  /** See `ChainPlace`; undefined of a batch that is alone. */
  readonly number: number | undefined;
  /** See `RequestOwner`. */
  firstRefused = Number.POSITIVE_INFINITY;
  /** Requests that have come. */
  length = 0;

  constructor(number?: number) {
    this.number = number;
  }
}

/** See the top of the file. */
export class BatchChains {
  /** The last one of each sender: the others of it are over. */
  private readonly chains = new Map<number, Chain>();

  /** The chain that a batch goes on with, or begins, and is part of from now on; undefined: the batch may not run. */
  join({ chain: at, requests }: ForwardedBatchMessage): Chain | undefined {
    if (at === undefined) return joined(new Chain(), requests.length);
    const chain = at.place === 0 ? this.begin(at.chain) : this.chains.get(senderOf(at.chain));
    return chain?.number === at.chain && chain.length === at.place ? joined(chain, requests.length) : undefined;
  }

  private begin(number: number): Chain {
    const chain = new Chain(number);
    this.chains.delete(senderOf(number));
    this.chains.set(senderOf(number), chain);
    if (this.chains.size > MAX_CHAINS) this.chains.delete(this.chains.keys().next().value!);
    return chain;
  }
}

const senderOf = (chain: number): number => Math.floor(chain / CHAINS_A_SENDER);

function joined(chain: Chain, count: number): Chain {
  chain.length += count;
  return chain;
}
