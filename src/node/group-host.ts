/**
 * The replicas of a node: each is a store, a state machine, a place in the engine and an executor, made and unmade together.
 * What is open after a start is what the log holds and what the cluster is founded with; everything else comes and goes
 * while the node runs.
 */
import { type GroupExecutor, GroupStateMachine, type NodeKvService } from '../kv/index.ts';
import {
  type BackoffBound,
  backoffBoundMs,
  type Cancel,
  type Clock,
  type GroupId,
  type HlcTimestamp,
  type LogIndex,
  type Millis,
  type NodeId,
  type Scheduler,
  type Term,
} from '../platform/index.ts';
import {
  type ConfState,
  foundingEntry,
  type LogStore,
  type RaftEngine,
  type RaftGroup,
  recoveryWrite,
} from '../raftengine/index.ts';
import type { GroupStore } from '../store/index.ts';

/** A replica that is open. */
export interface HostedGroup {
  readonly groupId: GroupId;
  readonly raft: RaftGroup;
  readonly stateMachine: GroupStateMachine;
  readonly store: GroupStore;
  readonly executor: GroupExecutor;
}

/** What a founder of a group knows of it. */
export interface Founding {
  readonly voters: readonly NodeId[];
  readonly preferredLeader: NodeId | undefined;
}

export interface GroupHostOptions {
  readonly self: NodeId;
  readonly engine: RaftEngine;
  readonly kv: NodeKvService;
  readonly logStore: LogStore;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** Opens a group's store, empty when it is new. @param open how many are open, this one included, to share memory among */
  readonly openStore: (group: GroupId, open: number) => Promise<GroupStore>;
  /** Makes it known to later starts that the group is gone, whatever of it they find. */
  readonly noteRemoval: (group: GroupId) => Promise<void>;
  /** Deletes a store that is closed, or was never opened. */
  readonly removeStore: (group: GroupId) => Promise<void>;
  readonly addressOf: (node: NodeId) => string | undefined;
  /** False while this node may have forgotten that it founded a group with these voters before. */
  readonly mayFound: (voters: readonly NodeId[]) => boolean;
  /** A group that had to wait could not be founded. */
  readonly onFoundingFailed: (error: Error) => void;
  /** A replica could not be opened or removed, and it will be tried again. */
  readonly onPutOff: (error: unknown) => void;
  readonly electionTimeoutMs: Millis;
  readonly onLeader?: ((group: GroupId, leader: NodeId | undefined) => void) | undefined;
}

/** A group whose founding waits. */
interface Waiting {
  readonly founding: Founding;
  readonly store: GroupStore;
  readonly stateMachine: GroupStateMachine;
}

/** What is to become of a replica, until it has. */
interface Attempt {
  cancel: Cancel;
}

const MEMBERLESS: ConfState = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
/** The preferred leader asks for votes this often while nobody leads: the others may still be starting. */
const CAMPAIGN_MS: Millis = 50;
/** For so many election timeouts; the other founders hold back as long. Later, whoever leads does. */
const CAMPAIGN_TIMEOUTS = 5;
/** What failed is tried again after this, then after twice as long, up to the longest pause: a disk may be full for hours. */
const REOPEN: BackoffBound = { baseMs: 250, capMs: 8_000, factor: 2 };

/** See the top of the file. */
export class GroupHost {
  private readonly options: GroupHostOptions;
  private readonly groups = new Map<GroupId, HostedGroup>();
  /** The last thing that was asked for of each group: one after another. */
  private readonly work = new Map<GroupId, Promise<unknown>>();
  /** Groups that are to be founded here once that is allowed; their stores are open and empty. */
  private readonly waiting = new Map<GroupId, Waiting>();
  /** What was asked for with `keepOpening`, `keepRemoving` or `recover`, and did not succeed yet. */
  private readonly attempts = new Map<GroupId, Attempt>();
  /** What replicas do until their group has a first leader. */
  private readonly beginnings = new Map<GroupId, Cancel>();
  private isClosed = false;

  constructor(options: GroupHostOptions) {
    this.options = options;
  }

  get(group: GroupId): HostedGroup | undefined {
    return this.groups.get(group);
  }

  /** Open replicas, by group id. */
  all(): HostedGroup[] {
    return [...this.groups.values()].sort((left, right) => left.groupId - right.groupId);
  }

  /** Where a replica's log ends, that of the state machine when a snapshot came before any entry. */
  logEnd(group: GroupId): { lastTerm: Term; lastIndex: LogIndex; appliedIndex: LogIndex } | undefined {
    const applied = this.groups.get(group)?.stateMachine.applied();
    if (applied === undefined) return undefined;
    const log = this.options.logStore.group(group);
    const lastIndex = log.lastIndex();
    const appliedIndex = applied.index;
    if (lastIndex < appliedIndex) return { lastTerm: applied.term, lastIndex: appliedIndex, appliedIndex };
    return { lastTerm: log.term(lastIndex) ?? 0, lastIndex, appliedIndex };
  }

  /** True when the replica is open, is to be opened or removed, or waits to be founded. */
  knows(group: GroupId): boolean {
    return this.groups.has(group) || this.work.has(group) || this.waiting.has(group) || this.attempts.has(group);
  }

  /** True while a group cannot be founded yet. */
  get waitsToFound(): boolean {
    return this.waiting.size > 0;
  }

  /**
   * Opens this node's replica, from what is stored or empty; one that is open is left alone. One that is to be founded waits
   * until that is allowed, and is opened then by itself.
   * @param founding undefined: the replica is filled by the group's leader
   * @throws what the store throws when it cannot be opened
   */
  open(group: GroupId, founding: Founding | undefined): Promise<void> {
    return this.inTurn(group, async () => {
      if (this.isClosed || this.groups.has(group) || this.waiting.has(group)) return;
      await this.openNow(group, founding);
    });
  }

  /**
   * As `open`, again and again until it succeeds or the replica is to be removed. Nobody else would see to it: the next word
   * about a group that is founded may be one that its founders never say, since they wait for this node.
   */
  keepOpening(group: GroupId, founding: Founding | undefined): void {
    this.keepTrying(group, () => this.open(group, founding));
  }

  /** As `remove`, again and again until it succeeds. */
  keepRemoving(group: GroupId): void {
    this.keepTrying(group, () => this.remove(group));
  }

  /** Founds what waited for it, as far as it is allowed now. */
  foundAllowed(): void {
    for (const [group, { founding }] of this.waiting) {
      if (!this.options.mayFound(founding.voters)) continue;
      this.inTurn(group, () => this.foundWaiting(group)).catch(this.options.onFoundingFailed);
    }
  }

  /** Ends this node's replica and forgets everything of it; without one it deletes what a crash may have left. */
  remove(group: GroupId): Promise<void> {
    return this.inTurn(group, async () => {
      if (this.isClosed) return;
      const { engine, kv, logStore, noteRemoval, removeStore } = this.options;
      await noteRemoval(group);
      const hosted = this.groups.get(group);
      this.groups.delete(group);
      this.beginnings.get(group)?.();
      this.beginnings.delete(group);
      // Log before store: a store without a log is opened by nobody, a log without its store could not be.
      const settled = kv.removeGroup(group);
      await this.dropWaiting(group);
      if (hosted !== undefined) await engine.removeGroup(group);
      else await logStore.removeGroup(group);
      await settled;
      await hosted?.stateMachine.close();
      await removeStore(group);
    });
  }

  /**
   * Makes this replica, whose group has lost its majority, the only voter: see `recoveryWrite`.
   * @param learners others that are well
   * @param floor everything that the group issues from now on is above it
   * @returns how many entries count as committed from now on though nobody knew that they were
   */
  recover(group: GroupId, learners: readonly NodeId[], floor: HlcTimestamp, context: Buffer): Promise<number> {
    let uncertain = 0;
    return this.inTurn(group, async () => {
      const { engine, kv, logStore, self } = this.options;
      const hosted = this.groups.get(group);
      if (this.isClosed || hosted === undefined) return;
      const { commitIndex } = hosted.raft.status();
      this.groups.delete(group);
      const settled = kv.removeGroup(group);
      try {
        await engine.closeGroup(group);
        await settled;
        const applied = hosted.stateMachine.applied();
        await hosted.stateMachine.close();
        const log = logStore.group(group);
        uncertain = Math.max(0, log.lastIndex() - commitIndex);
        const recovery = { groupId: group, survivor: self, learners, context };
        await logStore.write([recoveryWrite(log, applied.index, applied.conf, recovery)]);
        await this.openNow(group, undefined);
        this.groups.get(group)!.executor.clock.observe(floor);
      } catch (error) {
        // The only replica that is left: it comes back with what is stored, be that the recovery or not.
        this.keepTrying(group, async () => {
          await this.open(group, undefined);
          this.groups.get(group)?.executor.clock.observe(floor);
        });
        throw error;
      }
    }).then(() => uncertain);
  }

  /** Closes the stores; after the engine has stopped. */
  async close(): Promise<void> {
    this.isClosed = true;
    for (const cancel of this.beginnings.values()) cancel();
    for (const { cancel } of this.attempts.values()) cancel();
    await Promise.allSettled([...this.work.values()]);
    for (const group of [...this.waiting.keys()]) await this.dropWaiting(group);
    for (const { stateMachine } of this.groups.values()) await stateMachine.close();
  }

  private keepTrying(group: GroupId, step: () => Promise<void>, failures = 0): void {
    this.attempts.get(group)?.cancel();
    const attempt: Attempt = { cancel: () => {} };
    this.attempts.set(group, attempt);
    const isWanted = (): boolean => this.attempts.get(group) === attempt;
    step().then(
      () => {
        if (isWanted()) this.attempts.delete(group);
      },
      (error: unknown) => {
        this.options.onPutOff(error);
        if (!isWanted()) return;
        const again = (): void => this.keepTrying(group, step, failures + 1);
        attempt.cancel = this.options.scheduler.after(backoffBoundMs(REOPEN, failures), again);
      },
    );
  }

  private async inTurn(group: GroupId, step: () => Promise<void>): Promise<void> {
    const mine = (this.work.get(group) ?? Promise.resolve()).then(step, step);
    this.work.set(group, mine);
    try {
      await mine;
    } finally {
      if (this.work.get(group) === mine) this.work.delete(group);
    }
  }

  private async openNow(group: GroupId, founding: Founding | undefined): Promise<void> {
    const store = await this.options.openStore(group, this.groups.size + this.waiting.size + 1);
    try {
      const stateMachine = new GroupStateMachine({ store, initialConf: MEMBERLESS });
      if (founding === undefined || !this.isUntouched(group, stateMachine)) {
        this.take(group, store, stateMachine, founding, false);
        return;
      }
      this.waiting.set(group, { founding, store, stateMachine });
    } catch (error) {
      // Left open, it could not be opened again.
      await store.close().catch(() => {});
      throw error;
    }
    if (this.options.mayFound(founding.voters)) await this.foundWaiting(group);
  }

  private async foundWaiting(group: GroupId): Promise<void> {
    const waiting = this.waiting.get(group);
    if (this.isClosed || waiting === undefined) return;
    const { founding, store, stateMachine } = waiting;
    try {
      await this.found(founding, store, stateMachine);
    } catch (error) {
      await this.dropWaiting(group);
      throw error;
    }
    this.waiting.delete(group);
    this.take(group, store, stateMachine, founding, true);
  }

  private async dropWaiting(group: GroupId): Promise<void> {
    const waiting = this.waiting.get(group);
    this.waiting.delete(group);
    await waiting?.stateMachine.close();
  }

  /** @param isNew it was founded just now */
  private take(
    group: GroupId,
    store: GroupStore,
    stateMachine: GroupStateMachine,
    founding: Founding | undefined,
    isNew: boolean,
  ): void {
    const { engine, kv, self, electionTimeoutMs, onLeader } = this.options;
    const raft = engine.addGroup({ groupId: group, stateMachine });
    if (onLeader !== undefined) raft.onLeaderChange(() => onLeader(group, raft.leader()?.nodeId));
    const executor = kv.addGroup({ raft, stateMachine, store });
    this.groups.set(group, { groupId: group, raft, stateMachine, store, executor });
    if (founding?.preferredLeader === self) {
      this.untilLed(group, CAMPAIGN_MS, () => engine.campaign(group));
    } else if (isNew && founding?.preferredLeader !== undefined) {
      this.untilLed(group, electionTimeoutMs / 2, () => engine.holdBack(group));
    }
  }

  /** Nothing was ever applied here, nor promised to anybody. */
  private isUntouched(group: GroupId, stateMachine: GroupStateMachine): boolean {
    const log = this.options.logStore.group(group);
    const { term, vote } = log.hardState();
    return stateMachine.applied().index === 0 && log.lastIndex() === 0 && term === 0 && vote === 0;
  }

  /** Durable before the replica takes part: at the next start nobody may say any more who the founders were. */
  private async found(founding: Founding, store: GroupStore, stateMachine: GroupStateMachine): Promise<void> {
    const conf: ConfState = { ...MEMBERLESS, voters: founding.voters.toSorted((left, right) => left - right) };
    stateMachine.apply([foundingEntry(conf, this.options.addressOf)]);
    await store.flush();
  }

  /**
   * Does something at once and again while the group has no leader, so that leaders are where they should be without being
   * moved: the preferred one asks for votes, the other founders let it. A group that has a leader refuses, as it refuses
   * everybody.
   */
  private untilLed(group: GroupId, periodMs: Millis, step: () => void): void {
    const { clock, scheduler, electionTimeoutMs } = this.options;
    const untilMs = clock.monotonicMs() + CAMPAIGN_TIMEOUTS * electionTimeoutMs;
    const round = (): void => {
      this.beginnings.delete(group);
      const raft = this.groups.get(group)?.raft;
      if (raft === undefined || raft.leader() !== undefined || clock.monotonicMs() > untilMs) return;
      step();
      this.beginnings.set(group, scheduler.after(periodMs, round));
    };
    this.beginnings.set(group, scheduler.after(0, round));
  }
}
