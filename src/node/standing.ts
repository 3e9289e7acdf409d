/**
 * How the cluster stands to this node's data folder.
 *
 * A founder with an empty folder cannot know whether it is new or has lost what it voted for. Its peers can: each of them
 * listens to one folder of a node, for good (see `PeerBook`). So it founds nothing before enough of the other founders have
 * accepted its folder, and when one of them knows another folder, or the cluster has removed this one, the node ends
 * with a code of its own and a word about what to do: nothing gets better by starting it again.
 */
import type { EXIT_CODES } from '../config/index.ts';
import {
  type Cancel,
  type ErrorDisposition,
  KvorumError,
  type Millis,
  type NodeId,
  type PeerNetwork,
  type Refusal,
  type RefusalReason,
  type Scheduler,
} from '../platform/index.ts';
import type { NodeRecord } from '../raftengine/index.ts';

/** The node has no place in the cluster with this data folder, or this program: it ends, and starting it again changes nothing. */
export class FolderRefusedError extends KvorumError {
  readonly code: keyof typeof EXIT_CODES;
  readonly disposition: ErrorDisposition = 'final';

  constructor(code: FolderRefusedError['code'], message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

const CODES: { readonly [Reason in RefusalReason]?: FolderRefusedError['code'] } = {
  removed: 'NODE_REMOVED',
  changed: 'NODE_CHANGED',
  met: 'NODE_CHANGED',
  twice: 'NODE_RUNS_TWICE',
};

export interface StandingOptions {
  readonly self: NodeId;
  readonly record: Pick<NodeRecord, 'acceptedBy' | 'noteAcceptance'>;
  /** The node came to a running cluster and has no replica yet: it may wait until its predecessor is removed. */
  readonly mayWait: () => boolean;
  /** The node has no replica, and groups that it is to found and may not yet. */
  readonly waitsToFound: () => boolean;
  /** Called once. */
  readonly onEnd: (error: FolderRefusedError) => void;
  readonly onError: (error: unknown) => void;
  readonly scheduler: Scheduler;
  /** Hears again and again why nothing can be founded yet. */
  readonly onWaits: (reason: string) => void;
}

/** At a first start nodes come one after another; who waits for longer says so, and goes on to say it. */
const FIRST_WORD_MS: Millis = 5_000;
const NEXT_WORD_MS: Millis = 30_000;
/** What could not be written down is written again after this: its peer says it once a connection, and a disk may be full. */
const NOTE_AGAIN_MS: Millis = 1_000;

/**
 * How many of the other founders must have accepted a folder before it founds. Two folders of one node that both have so
 * many share at least as many peers as a group of this size can lose disks: one of those peers still knows the first.
 */
export function acceptancesNeeded(founders: number): number {
  const others = founders - 1;
  const tolerated = Math.floor(others / 2);
  return Math.ceil((others + tolerated) / 2);
}

const named = (nodes: readonly NodeId[]): string =>
  `${nodes.length === 1 ? 'node' : 'nodes'} ${nodes.join(', ').replace(/, (\d+)$/, ' and $1')}`;

/** See the top of the file. */
export class FolderStanding {
  private readonly options: StandingOptions;
  /** What peers said who do not listen to this node, newest word of each. */
  private readonly refusals = new Map<NodeId, Refusal>();
  /** Founders that had not accepted this folder when a group was to be founded. */
  private readonly awaited = new Set<NodeId>();
  private readonly listeners: (() => void)[] = [];
  private end: FolderRefusedError | undefined;
  private cancel: Cancel | undefined;
  /** Acceptances that could not be written down yet. */
  private readonly unwritten = new Map<NodeId, Cancel>();
  private isStopped = false;
  /** The catalog's own word, while the node waits. */
  private catalogRefusal: string | undefined;

  constructor(options: StandingOptions) {
    this.options = options;
  }

  /** Begins to say what it waits for, if it does. */
  start(): void {
    const say = (): void => {
      if (!this.options.waitsToFound() || this.isOver) return;
      this.options.onWaits(this.reason()!);
      this.cancel = this.options.scheduler.after(NEXT_WORD_MS, say);
    };
    this.cancel = this.options.scheduler.after(FIRST_WORD_MS, say);
  }

  stop(): void {
    this.isStopped = true;
    this.cancel?.();
    for (const cancel of this.unwritten.values()) cancel();
  }

  /** Before the network starts. */
  listenTo(network: Pick<PeerNetwork, 'onAccepted' | 'onRefused'>): void {
    network.onAccepted((peer) => this.acceptedBy(peer));
    network.onRefused((refusal) => this.refusedBy(refusal));
  }

  /** The node ends. */
  get isOver(): boolean {
    return this.end !== undefined;
  }

  /** Hears whenever another founder may have come to listen. */
  onAcceptance(listener: () => void): void {
    this.listeners.push(listener);
  }

  /** True when this node may found a group: it is certainly the first folder of the node that does. */
  mayFound(founders: readonly NodeId[]): boolean {
    const { self, record } = this.options;
    const accepted = founders.filter((peer) => peer !== self && record.acceptedBy.includes(peer));
    for (const peer of founders) if (peer !== self && !accepted.includes(peer)) this.awaited.add(peer);
    return accepted.length >= acceptancesNeeded(founders.length);
  }

  /** The catalog does not take this node in: its word is final, but for a node that may wait. */
  refusedByCatalog(code: 'NODE_REMOVED' | 'NODE_CHANGED' | 'NODE_LACKS_FEATURE', cause: Error): void {
    this.catalogRefusal = cause.message;
    if (code !== 'NODE_CHANGED' || !this.options.mayWait()) this.finish(code, cause.message, cause);
    else this.options.onError(cause);
  }

  /** The catalog takes this node. */
  takenByCatalog(): void {
    this.catalogRefusal = undefined;
  }

  /** Why this node is not in service, for whoever asks; undefined when that has nothing to do with its folder. */
  reason(): string | undefined {
    if (this.end !== undefined) return this.end.message;
    if (this.catalogRefusal !== undefined) return this.catalogRefusal;
    if (this.options.waitsToFound()) {
      const { acceptedBy } = this.options.record;
      const missing = [...this.awaited].filter((peer) => !acceptedBy.includes(peer)).sort((a, b) => a - b);
      const told = missing.flatMap((peer) => this.refusals.get(peer)?.message ?? []);
      return (
        `the cluster is not founded here yet, since ${named(missing)} did not answer: a founder with an empty data folder ` +
        `asks the others whether it is new${told.length > 0 ? ` (${told.join('; ')})` : ''}`
      );
    }
    return this.refusals.values().next().value?.message;
  }

  /** Lines about peers that do not listen to this node. */
  details(): string[] {
    return [...this.refusals.values()].map(
      ({ peer, message }) => `node ${peer} does not listen to this node: ${message}`,
    );
  }

  /** What clients are told when nobody could be reached; undefined when that has nothing to do with this node's folder. */
  excuse(): string | undefined {
    const isOutside = this.end !== undefined || this.options.waitsToFound() || this.options.mayWait();
    return isOutside ? this.reason() : undefined;
  }

  private acceptedBy(peer: NodeId): void {
    this.refusals.delete(peer);
    this.unwritten.get(peer)?.();
    this.unwritten.delete(peer);
    this.options.record.noteAcceptance(peer).then(
      () => {
        for (const listener of this.listeners) listener();
      },
      (error: unknown) => {
        this.options.onError(error);
        if (this.isStopped) return;
        const again = (): void => this.acceptedBy(peer);
        this.unwritten.set(peer, this.options.scheduler.after(NOTE_AGAIN_MS, again));
      },
    );
  }

  private refusedBy(refusal: Refusal): void {
    const { reason, message, peer } = refusal;
    this.refusals.set(peer, refusal);
    const code = CODES[reason];
    if (code === undefined) return;
    // A peer that knows another folder may be behind, or have met a stranger first: the catalog decides about a node that is
    // in service. One that is to found a group has nothing yet that it could be right with.
    const isCertain = (reason !== 'met' && reason !== 'changed') || this.options.waitsToFound();
    if (isCertain) this.finish(code, message);
  }

  private finish(code: FolderRefusedError['code'], message: string, cause?: Error): void {
    if (this.end !== undefined) return;
    this.end = new FolderRefusedError(code, message, cause);
    this.options.onEnd(this.end);
  }
}
