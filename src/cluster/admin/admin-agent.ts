/**
 * A node's part in what operators ask: it answers for itself and does what only a group's leader can do; and it is the way
 * to the other nodes that do the same. Leaders are found by `KvService.forward`, given nodes by a stream of one frame.
 */

import { Packr } from 'msgpackr';
import type { RouteEngine } from '../../distribution/index.ts';
import { forwarded, type KvService, type TxnStatus } from '../../kv/index.ts';
import type { Clock, GroupId, Millis, NodeId, PeerNetwork, Scheduler } from '../../platform/index.ts';
import { type GroupStatus, NotLeaderError, type RaftGroup } from '../../raftengine/index.ts';
import {
  AdminError,
  type NodeActivity,
  type NodeExamination,
  type NodeLogLevel,
  type ReplicaStatus,
} from '../contract/index.ts';
import { GroupOperator } from './group-operator.ts';
import { lagOf, suffrageOf } from './membership-rules.ts';
import {
  decodeOutcome,
  decodeRequest,
  encodeOutcome,
  encodeRequest,
  type LeaderReplies,
  type LeaderRequest,
  type LogEnd,
  type NodeReport,
  type NodeRequest,
  type RecoverOrder,
} from './node-messages.ts';
import type { ToldLock } from './txn-operator.ts';

/** Contexts of membership changes are MessagePack; this one is an audit that stays in the log. */
const codec = new Packr({ useRecords: false, variableMapSize: true });

/** Name of the forwarded service, and kind of the stream. */
const SERVICE = 'admin';

/** What the composition root tells about this node. */
export interface LocalNode {
  /** `host:port` that other nodes and tools reach it under. */
  readonly address: string;
  readonly version: string;
  /** Of its data folder, 16 bytes. */
  readonly incarnation: Buffer;
  /** The data folder, in hexadecimal, that this node listens to under the id of another one; undefined when it has met none. */
  metFolder?(node: NodeId): string | undefined;
  /** What the process around the node does. */
  activity?(): NodeActivity;
  /**
   * What is logged, and changes it. @returns what it was before
   * @throws AdminError INVALID_ARGUMENT
   */
  logLevel?(level: string | undefined): { readonly level: string; readonly before: string };
  /** Replicas here. */
  groups(): readonly RaftGroup[];
  /** What else is known of a replica; what is left out is not shown. */
  facts?(group: GroupId): Pick<ReplicaStatus, 'storedBytes' | 'hlcCeilingMs' | 'timeLeadMs' | 'operations'>;
  /** How its clock stands against those of its peers. */
  clock?(): OwnClock;
  /**
   * Opens an empty replica of a group that this node was taken into, when there is none yet; the leader fills it. Left out
   * where replicas open themselves.
   */
  openReplica?(group: GroupId): Promise<void>;
  /** Locks of a group that is led here. */
  locks?(group: GroupId): Iterable<ToldLock>;
  /** The record of a transaction in a group that is led here. */
  fate?(group: GroupId, primary: Buffer, txnId: Buffer): TxnStatus | undefined;
  /** About how many bytes a range takes in the replica of a group here. */
  rangeBytes?(group: GroupId, start: Buffer, end: Buffer | undefined): Promise<number | undefined>;
  /** Measures this node; left out where there is no machine to measure. */
  examine?(): Promise<OwnExamination>;
  /** Where the log of a replica ends. */
  logEnd?(group: GroupId): LogEnd | undefined;
  /**
   * Makes the replica the only voter of its group, with time above `floorMs`.
   * @returns entries that count as committed from now on though nobody knew that they were
   */
  recover?(group: GroupId, learners: readonly NodeId[], floorMs: Millis, context: Buffer): Promise<number>;
  /** Begins a new life of the catalog; its group is led here. */
  reviveCatalog?(): Promise<void>;
}

/** What a node says of its clock: its wall clock less the time that it goes by, and within what that is right. */
export type OwnClock = NonNullable<NodeReport['clock']>;

type LogLevelChange = Pick<NodeLogLevel, 'level' | 'before'>;

/** What a node measures of itself; who asks adds whose it is and how its clock stands. */
export type OwnExamination = Omit<NodeExamination, 'nodeId' | 'problem' | 'version' | 'clockOffsetMs' | 'clockErrorMs'>;

export interface AdminAgentOptions {
  readonly local: LocalNode;
  readonly kv: Pick<KvService, 'forward' | 'onForward'>;
  readonly network: Pick<PeerNetwork, 'self' | 'stream' | 'onStream'>;
  readonly routes: RouteEngine;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly maxPromoteLag: number;
  /** How long to listen for members before they count as silent; tests shorten it. */
  readonly listenMs?: Millis;
}

const ownClock = ({ offsetMs, errorMs, isOff }: OwnClock): OwnClock => ({ offsetMs, errorMs, isOff });

async function* nothing(): AsyncGenerator<Buffer> {}

/** See the top of the file. Made before the network starts: it registers its handlers. */
export class AdminAgent {
  readonly self: NodeId;
  private readonly options: AdminAgentOptions;
  private readonly operator: GroupOperator;

  constructor(options: AdminAgentOptions) {
    const { kv, network, clock, scheduler, maxPromoteLag, listenMs } = options;
    this.options = options;
    this.self = network.self;
    this.operator = new GroupOperator({
      clock,
      scheduler,
      maxPromoteLag,
      ...(listenMs === undefined ? {} : { listenMs }),
      findGroup: (group) => this.replica(group),
      openReplicaOn: async (node, group, timeoutMs) => {
        await this.ask(node, { op: 'openReplica', group }, timeoutMs);
      },
    });
    kv.onForward(SERVICE, (payload, answer) => {
      this.serve(payload, true).then(
        (reply) => answer(undefined, reply),
        (error: Error) => answer(error, undefined),
      );
    });
    network.onStream(SERVICE, async (_from, header) => this.serve(header, false));
  }

  /** This node's replica of a group. */
  replica(group: GroupId): RaftGroup | undefined {
    return this.options.local.groups().find((each) => each.groupId === group);
  }

  /** Has the leader of a group do something, wherever it is. @throws what the leader threw; LeaderUnavailableError; OutcomeUnknownError */
  async atLeader<Op extends LeaderRequest['op']>(
    request: Extract<LeaderRequest, { readonly op: Op }>,
    timeoutMs: Millis,
  ): Promise<LeaderReplies[Op]> {
    const deadlineMs = this.options.clock.monotonicMs() + timeoutMs;
    const reply = await forwarded(this.options.kv, request.group, SERVICE, encodeRequest(request), deadlineMs);
    return decodeOutcome(reply) as LeaderReplies[Op];
  }

  /** About how many bytes a range takes at the leader of its group; undefined when nobody says so in time. */
  async rangeBytes(
    group: GroupId,
    start: Buffer,
    end: Buffer | undefined,
    timeoutMs: Millis,
  ): Promise<number | undefined> {
    try {
      const question = { op: 'rangeBytes', group, start, end: end ?? null } as const;
      return (await this.atLeader<'rangeBytes'>(question, timeoutMs)) ?? undefined;
    } catch {
      // It is a guess that may be wrong; whoever asked goes on without.
      return undefined;
    }
  }

  /** What a node says about itself. @throws StreamBrokenError when it cannot be reached in time */
  async report(node: NodeId, timeoutMs: Millis): Promise<NodeReport> {
    if (node === this.self) return this.ownReport();
    return (await this.ask(node, { op: 'report' }, timeoutMs)) as NodeReport;
  }

  /** What a node logs, after it was told to log `level`. @throws AdminError INVALID_ARGUMENT; StreamBrokenError */
  async logLevelOf(node: NodeId, level: string | undefined, timeoutMs: Millis): Promise<LogLevelChange> {
    return (await this.ask(node, { op: 'logLevel', level: level ?? null }, timeoutMs)) as LogLevelChange;
  }

  /** What a node measures of itself; null when it cannot. @throws StreamBrokenError */
  async examine(node: NodeId, timeoutMs: Millis): Promise<OwnExamination | null> {
    return (await this.ask(node, { op: 'examine' }, timeoutMs)) as OwnExamination | null;
  }

  /** Where a node's replica ends. @throws AdminError NOT_RECOVERABLE; StreamBrokenError */
  async logEndOf(node: NodeId, group: GroupId, timeoutMs: Millis): Promise<LogEnd> {
    return (await this.ask(node, { op: 'logEnd', group }, timeoutMs)) as LogEnd;
  }

  /** Has a node go on alone. @throws AdminError QUORUM_ANSWERS, NOT_RECOVERABLE; StreamBrokenError */
  async orderRecovery(node: NodeId, order: RecoverOrder, timeoutMs: Millis): Promise<number> {
    return (await this.ask(node, { op: 'recover', ...order }, timeoutMs)) as number;
  }

  /** Has the node that leads the catalog begin a new life of it. */
  async reviveCatalog(node: NodeId, timeoutMs: Millis): Promise<void> {
    await this.ask(node, { op: 'reviveCatalog' }, timeoutMs);
  }

  private async ask(node: NodeId, request: NodeRequest, timeoutMs: Millis): Promise<unknown> {
    if (node === this.self) return this.execute(request);
    const abort = new AbortController();
    const cancel = this.options.scheduler.after(timeoutMs, () => {
      abort.abort(new Error(`no answer within ${Math.round(timeoutMs)} ms`));
    });
    try {
      const { network } = this.options;
      return decodeOutcome(await network.stream(node, SERVICE, encodeRequest(request), nothing(), abort.signal));
    } finally {
      cancel();
    }
  }

  /** @param mayRedirect not leading is said as an error that sends the request on to the leader */
  private async serve(bytes: Buffer, mayRedirect: boolean): Promise<Buffer> {
    try {
      return encodeOutcome({ value: await this.execute(decodeRequest(bytes)) });
    } catch (error) {
      if (mayRedirect && error instanceof NotLeaderError) throw error;
      return encodeOutcome({ error });
    }
  }

  private async execute(request: LeaderRequest | NodeRequest): Promise<unknown> {
    switch (request.op) {
      case 'report':
        return this.ownReport();
      case 'logLevel':
        return this.logLevel(request.level ?? undefined);
      case 'openReplica':
        await this.options.local.openReplica?.(request.group);
        return null;
      case 'members':
        return this.operator.members(request.group);
      case 'addLearner':
        return this.operator.addLearner(request.group, request.node, request.address, request.timeoutMs);
      case 'promote':
        return this.operator.promote(request.group, request.node);
      case 'remove':
        return this.operator.remove(request.group, request.node);
      case 'transfer':
        return this.operator.transfer(request.group, request.to ?? undefined);
      case 'locks':
        return this.locks(request.group, request.limit);
      case 'rangeBytes':
        return (await this.options.local.rangeBytes?.(request.group, request.start, request.end ?? undefined)) ?? null;
      case 'fate':
        this.operator.assertLeads(request.group);
        return this.options.local.fate?.(request.group, request.primary, request.txnId) ?? null;
      case 'examine':
        return (await this.options.local.examine?.()) ?? null;
      case 'logEnd':
        return this.logEnd(request.group);
      case 'recover':
        return this.recover(request);
      case 'reviveCatalog':
        await this.options.local.reviveCatalog?.();
        return null;
      default:
        throw new AdminError(
          'INVALID_ARGUMENT',
          `node ${this.self} does not know '${(request as { op: string }).op}'; upgrade it`,
        );
    }
  }

  private logLevel(level: string | undefined): LogLevelChange {
    const { logLevel } = this.options.local;
    if (logLevel === undefined) throw new AdminError('INVALID_ARGUMENT', `node ${this.self} has no log`);
    return logLevel(level);
  }

  private locks(group: GroupId, limit: number): ToldLock[] {
    this.operator.assertLeads(group);
    const told: ToldLock[] = [];
    for (const { txnId, primary, key, end, kind, startTs, deadlineTs } of this.options.local.locks?.(group) ?? []) {
      if (told.length === limit) break;
      told.push({ txnId, primary, key, end, kind, startTs, deadlineTs });
    }
    return told;
  }

  private logEnd(group: GroupId): LogEnd {
    const end = this.options.local.logEnd?.(group);
    if (end !== undefined) return end;
    throw new AdminError('NOT_RECOVERABLE', `node ${this.self} has no replica of group ${group}`);
  }

  /** Nothing may have changed since it was decided; a leader with a quorum is the best sign that it must not be done. */
  private async recover({ group, learners, lost, expected, floorMs, atMs }: RecoverOrder): Promise<number> {
    const { recover } = this.options.local;
    const status = this.replica(group)?.status();
    const end = this.logEnd(group);
    if (recover === undefined || status === undefined)
      throw new AdminError('NOT_RECOVERABLE', 'there is nothing here to recover');
    if (status.role === 'leader' || end.lastTerm !== expected.lastTerm || end.lastIndex !== expected.lastIndex) {
      throw new AdminError(
        'QUORUM_ANSWERS',
        `the replica of group ${group} on node ${this.self} is not what it was a moment ago: somebody leads; look again`,
      );
    }
    const context = codec.pack({
      recovered: { atMs, lost, floorMs, lastTerm: end.lastTerm, lastIndex: end.lastIndex },
    });
    return recover.call(this.options.local, group, learners, floorMs, Buffer.from(context));
  }

  private ownReport(): NodeReport {
    const { local, routes, clock } = this.options;
    const all = local.groups().map((group) => group.status());
    return {
      address: local.address,
      version: local.version,
      incarnation: local.incarnation.toString('hex'),
      routesVersion: routes.current.version,
      nowMs: clock.nowMs(),
      ...(local.clock === undefined ? {} : { clock: ownClock(local.clock()) }),
      ...(local.activity === undefined ? {} : { activity: local.activity() }),
      replicas: all.map((status) => this.replicaStatus(status)),
      leads: all
        .filter((status) => status.role === 'leader')
        .map((status) => ({
          groupId: status.groupId,
          term: status.term,
          lags: status.progress.map((peer) => [peer.nodeId, lagOf(status, peer)] as const),
        })),
    };
  }

  private replicaStatus(status: GroupStatus): ReplicaStatus {
    return {
      groupId: status.groupId,
      role: status.role,
      suffrage: suffrageOf(status.conf, this.self),
      term: status.term,
      ...(status.leader === undefined ? {} : { leader: status.leader }),
      commitIndex: status.commitIndex,
      appliedIndex: status.appliedIndex,
      firstIndex: status.firstIndex,
      lastIndex: status.lastIndex,
      leaseRemainingMs: status.leaseRemainingMs,
      ...this.options.local.facts?.(status.groupId),
      voters: [...status.conf.voters],
    };
  }
}
