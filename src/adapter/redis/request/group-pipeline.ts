/**
 * The way of one connection's requests to one group, in order. While this node leads the group they go straight to it.
 * Otherwise they are forwarded in batches. Two batches could overtake each other when one is redirected, and a pipelined `SET a 1`,
 * `SET a 2` would end as 1: so those that are under way together are a chain (`batch-chains.ts`), which a leader runs in order or refuses; where
 * some node does not know chains, one batch is under way at a time. A batch of nothing but small reads is answered by the replica of this
 * node, once the leader has told it how far it must have come; from the first read on that it cannot answer the batch is forwarded.
 *
 * A request that comes back without having run (this node or the other does not lead, the group does not own the keys or
 * may not serve them now) stalls the pipeline: nothing leaves any more, and when everything under way has come back, all that
 * did not run goes to the connection in its order, which finds out where it belongs now (`rerouting.ts`).
 */
import { type KvService, NotOwnerError, OvertakenError, type PointReads, type PointView } from '../../../kv/index.ts';
import { type Clock, type GroupId, isOutcomeUnknown, type Millis } from '../../../platform/index.ts';
import { NotLeaderError } from '../../../raftengine/index.ts';
import { isBuildAside } from '../aside/index.ts';
import { isLibrariesLent, isRunAlone } from '../command/index.ts';
import { EncodedReply, type Reply } from '../protocol/index.ts';
import type { RoundMember, WriteRound, WriteRounds } from '../state/index.ts';
import { chainAfter } from './batch-chains.ts';
import { type ChainPlace, decodeAnswers, encodeBatch, FORWARD_SERVICE, isReturnable } from './forwarded-command.ts';
import { Fate, type GroupRequest, type RequestOwner } from './group-request.ts';
import { type RequestWeight, weightOf } from './request-weight.ts';

/** Most requests and roughly most argument bytes of a batch: large enough to fill a frame, small enough to share a link. */
const MAX_BATCH_REQUESTS = 1024;
const MAX_BATCH_BYTES = 1024 * 1024;
/**
 * Most arguments of a batch, about: its leader evaluates it in one turn, and each may be a row or two. So many take some 50 ms, within an election
 * timeout also where the machine is busy.
 */
const MAX_BATCH_ARGUMENTS = 4096;
/** Large commands get more time than others, at the rate that a busy disk and a shared link keep up with. */
const MIN_BYTES_PER_MS = (16 * 1024 * 1024) / 1000;
/** And so do those of many keys, at the rate at which groups lock and change them on a busy machine. */
const MIN_ARGUMENTS_PER_MS = 5;
/** And those that may read whole collections: the leader reads a million rows page by page. */
const LONG_READ_MS: Millis = 25_000;
/** The leader that has one is waited for as long as it leads: nobody else could answer sooner. But not for ever, should an answer be lost. */
const LONGEST_READ_MS: Millis = 600_000;
/** Settled requests at the front of the list are cut off when there are this many. */
const TRIM_AT = 256;
/** Batches of a chain that are under way together: what comes then gathers, and leaves with the next. */
const MAX_UNDER_WAY = 4;

/** What a group pipeline needs from its connection. */
export interface GroupPipelineOwner {
  requestSettled(request: GroupRequest, error: Error | undefined, reply: Reply | undefined): void;
  /** A request came back; `groupDrained` follows. */
  groupStalled(): void;
  /** Everything has come back, and the pipeline may be used again. `requests` did not run, in order. */
  groupDrained(requests: readonly GroupRequest[]): void;
}

export interface GroupPipelineEnvironment {
  readonly kv: KvService;
  readonly clock: Clock;
  readonly commandTimeoutMs: Millis;
  /** Reads from replicas of this node; undefined: there are none. */
  readonly points: PointReads | undefined;
  /** Takes numbers for chains of batches, see `chainAfter`; undefined while some node does not know chains. */
  newChains(count: number): number | undefined;
  /** When writes leave that go to several groups. */
  readonly rounds: WriteRounds;
}

/** A read whose outcome is unknown has no outcome: it is simply asked again. */
const mayAskAgain = (request: GroupRequest, error: Error): boolean =>
  isReturnable(error) || (request.isRepeatable && isOutcomeUnknown(error));

export class GroupPipeline implements RequestOwner, RoundMember {
  firstRefused = Number.POSITIVE_INFINITY;
  readonly group: GroupId;
  private readonly environment: GroupPipelineEnvironment;
  private readonly owner: GroupPipelineOwner;
  /** What was submitted, oldest first, from the oldest on that is not settled: the first `settledCount` are. */
  private entered: GroupRequest[] = [];
  private settledCount = 0;
  /** Requests that have not left, oldest first: to be forwarded, or behind a write that waits for its round. */
  private queue: GroupRequest[] = [];
  private isAwaitingRound = false;
  /** Writes that have left and are not answered, and the round that the first of them left with. */
  private writesUnderWay = 0;
  private round: WriteRound | undefined;
  /** Requests that this node's executor has. */
  private localCount = 0;
  private batchesUnderWay = 0;
  /** What batches that follow those under way are part of; undefined: none may follow. */
  private chain: ChainPlace | undefined;
  /** The number of the last one. */
  private lastChain: number | undefined;
  /** A batch leaves at the end of this turn. */
  private isBatchScheduled = false;
  private isStalled = false;
  /** When a batch last brought a reply, monotonic: what waits behind it has not been waiting for a leader. */
  private answeredMs: Millis = 0;

  constructor(group: GroupId, environment: GroupPipelineEnvironment, owner: GroupPipelineOwner) {
    this.group = group;
    this.environment = environment;
    this.owner = owner;
  }

  /** Runs a request after all earlier ones of this pipeline; its owner must be this pipeline. */
  submit(request: GroupRequest): void {
    request.fate = Fate.Pending;
    this.entered.push(request);
    const mayRunHere = !this.isStalled && this.batchesUnderWay === 0 && this.queue.length === 0 && !request.mustForward;
    if (mayRunHere && this.environment.kv.servesLocally(this.group) && this.mayLeaveNow(request)) {
      this.runHere(request);
    } else {
      setDeadline(request, this.environment.commandTimeoutMs);
      this.queue.push(request);
      this.advance();
    }
  }

  /** See `RoundMember`. */
  leave(): void {
    this.isAwaitingRound = false;
    const mayRunHere = !this.isStalled && this.batchesUnderWay === 0 && !this.queue.some((one) => one.mustForward);
    if (mayRunHere && this.environment.kv.servesLocally(this.group)) this.runQueueHere();
    // What this node's executor has goes first, as in `advance`.
    else if (this.localCount > 0) this.advance();
    else this.forwardBatches(true);
  }

  /** Asked of the first that has not left. @returns false when it waits for its round */
  private mayLeaveNow({ isWrite }: GroupRequest): boolean {
    if (!isWrite) return true;
    if (!this.isAwaitingRound) this.isAwaitingRound = !this.environment.rounds.admits(this);
    return !this.isAwaitingRound;
  }

  private runQueueHere(): void {
    const { queue, entered } = this;
    this.queue = [];
    for (const request of queue) {
      // The first that is refused takes back what is behind it.
      if (this.isStalled || this.entered !== entered) return;
      this.runHere(request);
    }
  }

  private runHere(request: GroupRequest): void {
    this.localCount++;
    if (request.isWrite) this.wrote(request);
    this.environment.kv.submit(this.group, request);
  }

  /** A write leaves. */
  private wrote(request: GroupRequest): void {
    request.fate = Fate.Writing;
    if (this.writesUnderWay++ === 0) this.round = this.environment.rounds.left(this.group);
  }

  /** What has left has its outcome, or has come back. */
  private ended(request: GroupRequest, fate: Fate): void {
    const wasWriting = request.fate === Fate.Writing;
    request.fate = fate;
    if (wasWriting && --this.writesUnderWay === 0) this.environment.rounds.answered(this.round!, this.group);
  }

  settled(request: GroupRequest, error: Error | undefined, reply: Reply | undefined): void {
    this.localCount--;
    if (error !== undefined && mayAskAgain(request, error)) this.takeBack(request, error);
    else this.finish(request, error, reply);
    this.advance();
  }

  private finish(request: GroupRequest, error: Error | undefined, reply: Reply | undefined): void {
    this.ended(request, Fate.Settled);
    this.owner.requestSettled(request, error, reply);
  }

  private takeBack(request: GroupRequest, refusal: Error): void {
    setDeadline(request, this.environment.commandTimeoutMs);
    this.ended(request, Fate.Returned);
    const { journey } = request;
    journey.refusal = refusal;
    journey.refusedBy = this.group;
    journey.mustForward = refusal instanceof NotLeaderError;
    journey.isAside ||= isBuildAside(refusal);
    journey.needsOutside ||= isRunAlone(refusal) || isLibrariesLent(refusal);
    if (refusal instanceof NotOwnerError) journey.hint = refusal.hint;
    this.firstRefused = Math.min(this.firstRefused, request.order);
    if (this.isStalled) return;
    this.isStalled = true;
    this.owner.groupStalled();
  }

  /** What is to be done now that something has come in or come back. */
  private advance(): void {
    if (this.isStalled) {
      if (this.localCount === 0 && this.batchesUnderWay === 0) this.drain();
      return;
    }
    this.trim();
    // What this node's executor has goes first: it may come back.
    if (this.queue.length === 0 || !this.mayLeave || this.isBatchScheduled || this.localCount > 0) return;
    this.isBatchScheduled = true;
    // Everything that the connection received in this turn goes into one batch.
    queueMicrotask(() => {
      this.isBatchScheduled = false;
      this.forwardBatches(false);
    });
  }

  private trim(): void {
    const { entered } = this;
    while (this.settledCount < entered.length && entered[this.settledCount]!.fate === Fate.Settled) this.settledCount++;
    if (this.settledCount === entered.length) {
      entered.length = 0;
      this.settledCount = 0;
      this.firstRefused = Number.POSITIVE_INFINITY;
    } else if (this.settledCount >= TRIM_AT && this.settledCount * 2 >= entered.length) {
      entered.splice(0, this.settledCount);
      this.settledCount = 0;
    }
  }

  /**
   * Gives everything back that did not run. One that has been overtaken cannot run any more: something behind it that
   * touches one of its keys has run, or may have.
   */
  private drain(): void {
    const { entered } = this;
    this.entered = [];
    this.settledCount = 0;
    this.queue = [];
    this.isStalled = false;
    this.firstRefused = Number.POSITIVE_INFINITY;
    const touched = new Set<string>();
    const returned: GroupRequest[] = [];
    const overtaken: GroupRequest[] = [];
    for (let index = entered.length - 1; index >= 0; index--) {
      const request = entered[index]!;
      const isSettled = request.fate === Fate.Settled;
      // Behind the last one that ran there is nothing to be compared with.
      const names = isSettled || touched.size > 0 ? request.storageKeys().map((key) => key.toString('latin1')) : [];
      if (isSettled) for (const name of names) touched.add(name);
      else if (names.some((name) => touched.has(name))) overtaken.push(request);
      else returned.push(request);
    }
    for (const request of overtaken.reverse()) {
      this.finish(request, new OvertakenError('a later command on the same key ran first'), undefined);
    }
    this.owner.groupDrained(returned.reverse());
  }

  /** Whether another batch may leave now. */
  private get mayLeave(): boolean {
    return this.batchesUnderWay === 0 || (this.chain !== undefined && this.batchesUnderWay < MAX_UNDER_WAY);
  }

  /** @param isInRound what waits may leave now */
  private forwardBatches(isInRound: boolean): void {
    if (this.queue.length === 0 || !this.mayLeave || this.isStalled) return;
    const writer = isInRound ? undefined : this.queue.find(({ isWrite }) => isWrite);
    if (writer !== undefined && !this.mayLeaveNow(writer)) return;
    while (this.queue.length > 0 && this.mayLeave && !this.isStalled) this.forwardBatch(this.takeBatch());
  }

  private forwardBatch(batch: readonly GroupRequest[]): void {
    const isAlone = this.batchesUnderWay++ === 0;
    if (isAlone) this.chain = undefined;
    const { points } = this.environment;
    if (isAlone && points?.mayReadAtPoint(this.group) === true && batch.every(({ isPointRead }) => isPointRead)) {
      points.readAtPoint(this.group, (view) => this.readBatch(batch, view));
    } else this.sendBatch(batch);
  }

  private sendBatch(batch: readonly GroupRequest[]): void {
    const { kv, newChains, clock } = this.environment;
    if (this.batchesUnderWay === 1) {
      this.lastChain = chainAfter(this.lastChain, newChains);
      this.chain = this.lastChain === undefined ? undefined : { chain: this.lastChain, place: 0 };
    }
    for (const request of batch) if (request.isWrite) this.wrote(request);
    const payload = encodeBatch(this.group, batch, this.chain);
    if (this.chain !== undefined) this.chain = { ...this.chain, place: this.chain.place + batch.length };
    const sentMs = clock.monotonicMs();
    const done = (error: Error | undefined, answer: Buffer | undefined): void => {
      this.batchesUnderWay--;
      if (error !== undefined && isOutcomeUnknown(error))
        for (const request of batch) leaderLost(request, clock.monotonicMs() - sentMs);
      this.batchAnswered(batch, error, answer);
      this.goOn();
    };
    kv.forward(this.group, FORWARD_SERVICE, payload, latestDeadline(batch), done, workUntilMs(batch));
  }

  private goOn(): void {
    if (this.isStalled) this.advance();
    else {
      this.trim();
      this.forwardBatches(false);
    }
  }

  /** Answers reads in their order as far as the replica here can, and leaves the others to the leader. */
  private readBatch(batch: readonly GroupRequest[], view: PointView | undefined): void {
    let answered = 0;
    while (view !== undefined && answered < batch.length && this.readHere(batch[answered]!, view)) answered++;
    if (answered > 0) this.answeredMs = this.environment.clock.monotonicMs();
    if (answered < batch.length) {
      this.sendBatch(batch.slice(answered));
      return;
    }
    this.batchesUnderWay--;
    this.goOn();
  }

  /** @returns false when the leader has to answer */
  private readHere(request: GroupRequest, view: PointView): boolean {
    view.begin();
    let reply: Reply | undefined;
    let error: Error | undefined;
    try {
      reply = request.evaluate(view);
    } catch (thrown) {
      error = thrown instanceof Error ? thrown : new Error(String(thrown));
    }
    if (view.isStopped) return false;
    if (error === undefined) request.emitEffects();
    this.finish(request, error, reply);
    return true;
  }

  private takeBatch(): GroupRequest[] {
    const { commandTimeoutMs } = this.environment;
    let bytes = 0;
    let args = 0;
    let count = 0;
    const hasRoom = (): boolean => count < MAX_BATCH_REQUESTS && bytes < MAX_BATCH_BYTES && args < MAX_BATCH_ARGUMENTS;
    while (count < this.queue.length && hasRoom()) {
      const request = this.queue[count++]!;
      const weight = weightOf(request);
      const { journey } = request;
      journey.deadlineMs = Math.max(journey.deadlineMs, this.answeredMs + patienceMs(weight, commandTimeoutMs));
      bytes += weight.argumentBytes;
      args += weight.argumentCount;
    }
    return this.queue.splice(0, count);
  }

  private batchAnswered(batch: readonly GroupRequest[], error: Error | undefined, answer: Buffer | undefined): void {
    if (answer !== undefined) {
      const answers = decodeAnswers(answer, (place, slow) => {
        batch[place]!.tookLong(slow);
      });
      if (answers.some((one) => Buffer.isBuffer(one))) this.answeredMs = this.environment.clock.monotonicMs();
      batch.forEach((request, position) => {
        const one = answers[position];
        if (Buffer.isBuffer(one)) this.finish(request, undefined, new EncodedReply(one));
        else this.takeBack(request, one ?? new NotLeaderError(undefined));
      });
      return;
    }
    for (const request of batch) {
      if (error !== undefined && mayAskAgain(request, error)) this.takeBack(request, error);
      else this.finish(request, error, undefined);
    }
  }
}

const latestDeadline = (batch: readonly GroupRequest[]): Millis =>
  batch.reduce((latestMs, { journey }) => Math.max(latestMs, journey.deadlineMs), 0);

/** Gives a request its deadline when it has none: it keeps it wherever it goes. */
export function setDeadline(request: GroupRequest, commandTimeoutMs: Millis): void {
  const { journey } = request;
  if (journey.deadlineMs !== 0) return;
  journey.deadlineMs = request.startedMs + patienceMs(weightOf(request), commandTimeoutMs);
}

const patienceMs = ({ argumentBytes, argumentCount, readsMuch }: RequestWeight, commandTimeoutMs: Millis): Millis =>
  commandTimeoutMs +
  argumentBytes / MIN_BYTES_PER_MS +
  argumentCount / MIN_ARGUMENTS_PER_MS +
  (readsMuch ? LONG_READ_MS : 0);

/** When the answer is given up of what may take its leader long; undefined: nothing of it may. */
const workUntilMs = (batch: readonly GroupRequest[]): Millis | undefined => {
  const untilMs = batch.map((request) => (weightOf(request).readsMuch ? request.startedMs + LONGEST_READ_MS : 0));
  const lastMs = Math.max(...untilMs);
  return lastMs === 0 ? undefined : lastMs;
};

/** A leader that was at work is lost: the time that it has had was not spent waiting for a leader. */
export function leaderLost(request: GroupRequest, workedMs: Millis): void {
  const { journey, startedMs } = request;
  if (!weightOf(request).readsMuch) return;
  const lastMs = Math.max(journey.deadlineMs, startedMs + LONGEST_READ_MS);
  journey.deadlineMs = Math.min(lastMs, journey.deadlineMs + workedMs);
}
