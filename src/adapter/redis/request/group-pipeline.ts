/**
 * The way of one connection's requests to one group, in order. While this node leads the group they go straight to it.
 * Otherwise they are forwarded in batches, one batch under way at a time: two batches could overtake each other when one
 * is redirected, and a pipelined `SET a 1`, `SET a 2` would end as 1.
 *
 * A request that comes back without having run (this node or the other does not lead, the group does not own the keys or
 * may not serve them now) stalls the pipeline: nothing leaves any more, and when everything under way has come back, all that
 * did not run goes to the connection in its order, which finds out where it belongs now (`rerouting.ts`).
 */
import { type KvService, NotOwnerError, OvertakenError } from '../../../kv/index.ts';
import { type Clock, type GroupId, isOutcomeUnknown, type Millis } from '../../../platform/index.ts';
import { NotLeaderError } from '../../../raftengine/index.ts';
import { isBuildAside } from '../aside/index.ts';
import { type CommandSpec, isLibrariesLent, isRunAlone } from '../command/index.ts';
import { EncodedReply, type Reply } from '../protocol/index.ts';
import { decodeAnswers, encodeBatch, FORWARD_SERVICE, isReturnable } from './forwarded-command.ts';
import { CommandRequest, Fate, type GroupRequest, type RequestOwner, TransactionRequest } from './group-request.ts';

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
/**
 * And those that read whole collections: the leader reads a million rows page by page. No other command waits for its leader that long, because
 * nothing else takes it.
 */
const LONG_READ_MS: Millis = 25_000;
const SHORT_VALUES: ReadonlySet<string> = new Set(['string', 'bitmap', 'hyperloglog']);
/** Settled requests at the front of the list are cut off when there are this many. */
const TRIM_AT = 256;

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
}

/** A read whose outcome is unknown has no outcome: it is simply asked again. */
const mayAskAgain = (request: GroupRequest, error: Error): boolean =>
  isReturnable(error) || (request.isRepeatable && isOutcomeUnknown(error));

export class GroupPipeline implements RequestOwner {
  firstRefused = Number.POSITIVE_INFINITY;
  private readonly group: GroupId;
  private readonly environment: GroupPipelineEnvironment;
  private readonly owner: GroupPipelineOwner;
  /** What was submitted, oldest first, from the oldest on that is not settled: the first `settledCount` are. */
  private entered: GroupRequest[] = [];
  private settledCount = 0;
  /** Requests to forward, oldest first. */
  private queue: GroupRequest[] = [];
  /** Requests that this node's executor has. */
  private localCount = 0;
  private isBatchUnderWay = false;
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
    const mayRunHere = !this.isStalled && !this.isBatchUnderWay && this.queue.length === 0 && !request.mustForward;
    if (mayRunHere && this.environment.kv.servesLocally(this.group)) {
      this.localCount++;
      this.environment.kv.submit(this.group, request);
    } else {
      setDeadline(request, this.environment.commandTimeoutMs);
      this.queue.push(request);
      this.advance();
    }
  }

  settled(request: GroupRequest, error: Error | undefined, reply: Reply | undefined): void {
    this.localCount--;
    if (error !== undefined && mayAskAgain(request, error)) this.takeBack(request, error);
    else this.finish(request, error, reply);
    this.advance();
  }

  private finish(request: GroupRequest, error: Error | undefined, reply: Reply | undefined): void {
    request.fate = Fate.Settled;
    this.owner.requestSettled(request, error, reply);
  }

  private takeBack(request: GroupRequest, refusal: Error): void {
    setDeadline(request, this.environment.commandTimeoutMs);
    request.fate = Fate.Returned;
    request.refusal = refusal;
    request.refusedBy = this.group;
    request.mustForward = refusal instanceof NotLeaderError;
    request.isAside ||= isBuildAside(refusal);
    request.needsOutside ||= isRunAlone(refusal) || isLibrariesLent(refusal);
    if (refusal instanceof NotOwnerError) request.hint = refusal.hint;
    this.firstRefused = Math.min(this.firstRefused, request.order);
    if (this.isStalled) return;
    this.isStalled = true;
    this.owner.groupStalled();
  }

  /** What is to be done now that something has come in or come back. */
  private advance(): void {
    if (this.isStalled) {
      if (this.localCount === 0 && !this.isBatchUnderWay) this.drain();
      return;
    }
    this.trim();
    // What this node's executor has goes first: it may come back.
    if (this.queue.length === 0 || this.isBatchUnderWay || this.isBatchScheduled || this.localCount > 0) return;
    this.isBatchScheduled = true;
    // Everything that the connection received in this turn goes into one batch.
    queueMicrotask(() => {
      this.isBatchScheduled = false;
      this.forwardBatch();
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

  private forwardBatch(): void {
    const batch = this.takeBatch();
    if (batch.length === 0) return;
    this.isBatchUnderWay = true;
    this.environment.kv.forward(
      this.group,
      FORWARD_SERVICE,
      encodeBatch(this.group, batch),
      Math.max(...batch.map((request) => request.deadlineMs)),
      (error, answer) => {
        this.isBatchUnderWay = false;
        this.batchAnswered(batch, error, answer);
        if (this.isStalled) this.advance();
        else {
          this.trim();
          this.forwardBatch();
        }
      },
    );
  }

  private takeBatch(): GroupRequest[] {
    const { commandTimeoutMs } = this.environment;
    let bytes = 0;
    let args = 0;
    let count = 0;
    const hasRoom = (): boolean => count < MAX_BATCH_REQUESTS && bytes < MAX_BATCH_BYTES && args < MAX_BATCH_ARGUMENTS;
    while (count < this.queue.length && hasRoom()) {
      const request = this.queue[count++]!;
      const size = sizeOf(request);
      request.deadlineMs = Math.max(request.deadlineMs, this.answeredMs + patienceMs(size, commandTimeoutMs));
      bytes += size.bytes;
      args += size.count;
    }
    return this.queue.splice(0, count);
  }

  private batchAnswered(batch: readonly GroupRequest[], error: Error | undefined, answer: Buffer | undefined): void {
    if (answer !== undefined) {
      const answers = decodeAnswers(answer, (place, slow) => {
        batch[place]!.slow = [...slow];
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

/** Gives a request its deadline when it has none: it keeps it wherever it goes. */
export function setDeadline(request: GroupRequest, commandTimeoutMs: Millis): void {
  if (request.deadlineMs !== 0) return;
  request.deadlineMs = request.startedMs + patienceMs(sizeOf(request), commandTimeoutMs);
}

interface RequestSize {
  readonly bytes: number;
  /** Arguments. */
  readonly count: number;
  readonly isLong: boolean;
}

const patienceMs = ({ bytes, count, isLong }: RequestSize, commandTimeoutMs: Millis): Millis =>
  commandTimeoutMs + bytes / MIN_BYTES_PER_MS + count / MIN_ARGUMENTS_PER_MS + (isLong ? LONG_READ_MS : 0);

/** Whether a command may read all of a collection. */
const readsMuch = ({ flags, group }: CommandSpec): boolean =>
  flags.includes('readonly') && !flags.includes('fast') && !SHORT_VALUES.has(group);

function sizeOf(request: GroupRequest): RequestSize {
  let bytes = 0;
  let count = 0;
  let isLong = false;
  const commands =
    request instanceof CommandRequest ? [request] : request instanceof TransactionRequest ? request.commands : [];
  for (const { spec, args } of commands) {
    isLong ||= readsMuch(spec);
    count += args.length;
    for (const arg of args) bytes += arg.length;
  }
  return { bytes, count, isLong };
}
