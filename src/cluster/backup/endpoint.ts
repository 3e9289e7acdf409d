/**
 * The ways to other nodes in matters of backups, and this node's own answers. The leader of a group stores its copy by itself, so that bytes
 * take one way only; whoever makes the backup hears how far it is. When that one goes, the stream ends, and so does the work.
 */
import {
  type BackupGroup,
  BackupKeyError,
  BackupPlace,
  ChangeLog,
  type ChangesOrder,
  type ObjectStore,
  type PlaceKey,
  type StoredChanges,
  storeChanges,
  type UploadProgress,
  uploadCopy,
} from '../../backup/index.ts';
import { forwarded, type KvService, LeaderUnavailableError, snapshotFacts } from '../../kv/index.ts';
import {
  type Backoff,
  ByteRateLimit,
  backoffMs,
  type Clock,
  type GroupId,
  groupId,
  type HlcTimestamp,
  hasCode,
  hlcTimestamp,
  KvorumError,
  type Millis,
  type NodeId,
  type PeerNetwork,
  type Random,
  type Scheduler,
  sleep,
} from '../../platform/index.ts';
import { type BlockCompression, pooledCompression } from '../../store/index.ts';
import type { GroupArchive } from '../archive/index.ts';
import {
  type BackupAnswer,
  BackupMessageError,
  type BackupQuestion,
  decodeBackupAnswer,
  decodeBackupQuestion,
  ElsewhereError,
  encodeBackupMessage,
  type ToldChanges,
  tellChanges,
  toldChanges,
} from './messages.ts';
import { Turns } from './turns.ts';

/** Name of the forwarded service, and kind of the stream. */
const SERVICE = 'backup';
/** Copies that a node cuts and stores at a time; each holds a cut of a whole group on the disk. */
const MAX_UPLOADS = 2;
/** Groups whose changes a node stores at a time. */
const MAX_CHANGES = 4;
/** Longest wait for what is open at the moment of a backup. */
const CLOSE_TIMEOUT_MS: Millis = 20_000;
/** A node that works says so this often. */
const ALIVE_MS: Millis = 5_000;
/** One that says nothing for so long is given up. */
const SILENT_MS: Millis = 60_000;
/** Leaders change, streams break: the copy of a group is asked for again. */
const TRIES = 8;
const PASSING = [
  'NOT_LEADER',
  'LEADER_UNAVAILABLE',
  'STOPPED',
  'STREAM_BROKEN',
  'MOMENT_NOT_CLOSED',
  'RANGES_MOVED',
  'INTERNAL',
];
const AGAIN: Backoff = { baseMs: 250, capMs: 5_000, factor: 2, jitter: 'equal' };

/** What the process gives a node for backups. */
export interface BackupSurroundings {
  /** The objects at a place. @throws ObjectPlaceError */
  open(place: string): Promise<ObjectStore>;
  /** The key of this node as it is now; undefined: nobody said anything. @throws WrappingKeyError */
  key(): Promise<PlaceKey>;
}

export interface BackupEndpointOptions {
  readonly kv: Pick<KvService, 'forward' | 'onForward'>;
  readonly network: Pick<PeerNetwork, 'self' | 'duplex' | 'onDuplex'>;
  readonly archive: Pick<GroupArchive, 'point' | 'cut' | 'changes'>;
  readonly leaderOf: (group: GroupId) => NodeId | undefined;
  /** Left out: this node makes no backups. */
  readonly surroundings: BackupSurroundings | undefined;
  /** Of all that this node stores together. */
  readonly bytesPerSecond: () => number;
  /** Default: in the thread pool. */
  readonly compression?: BlockCompression;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
}

/** A place that was opened by whoever asks. */
export interface OpenedPlace {
  readonly place: string;
  readonly placeId: string;
}

/** Where copies are to be stored. */
export interface UploadOrder extends OpenedPlace {
  readonly at: HlcTimestamp;
}

type DoneAnswer = Extract<BackupAnswer, { kind: 'done' }>;

/** See the top of the file. Made before the network starts: it registers its handlers. */
export class BackupEndpoint {
  private readonly options: BackupEndpointOptions;
  private readonly under = new Set<AbortController>();
  private readonly uploads = new Turns(MAX_UPLOADS);
  private readonly changing = new Turns(MAX_CHANGES);
  private rate: { readonly bytesPerSecond: number; readonly limit: ByteRateLimit } | undefined;

  constructor(options: BackupEndpointOptions) {
    this.options = options;
    const { kv, network } = options;
    kv.onForward(SERVICE, (payload, answer) => {
      this.servePoint(payload).then(
        (reply) => answer(undefined, reply),
        (error: Error) => answer(error, undefined),
      );
    });
    network.onDuplex(SERVICE, (_from, header, stream) => {
      const abort = new AbortController();
      stream.onEnd((error) => abort.abort(error ?? new LeaderUnavailableError('who makes the backup is gone')));
      const tell = (answer: BackupAnswer): void => stream.send(encodeBackupMessage(answer));
      void this.answer(header, tell, abort).finally(() => stream.close());
    });
  }

  /** Ends what others have asked for. */
  stop(): void {
    for (const abort of this.under) abort.abort(new LeaderUnavailableError('the node stops'));
  }

  /** A moment at or after everything that the group acknowledged. @throws LeaderUnavailableError, OutcomeUnknownError: say it again */
  async point(group: GroupId, timeoutMs: Millis): Promise<HlcTimestamp> {
    const { kv, clock } = this.options;
    const payload = Buffer.from(JSON.stringify({ group }));
    const reply = await forwarded(kv, group, SERVICE, payload, clock.monotonicMs() + timeoutMs);
    return hlcTimestamp(BigInt(reply.toString()));
  }

  /** Opens a place for a new backup, with the key of this node. The caller closes its store. */
  async openPlace(place: string): Promise<BackupPlace> {
    const { surroundings, random } = this.options;
    if (surroundings === undefined) throw new BackupKeyError('this node makes no backups');
    const key = await surroundings.key();
    const store = await surroundings.open(place);
    try {
      return await BackupPlace.write(store, key, random);
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  /** @throws ElsewhereError that says what is wrong there; another error when the node did not answer */
  async check(node: NodeId, place: string, placeId: string, signal: AbortSignal): Promise<void> {
    await this.ask(node, { kind: 'check', place, placeId }, () => undefined, signal);
  }

  /**
   * Has the leader of a group store its copy, wherever it is.
   * @throws ElsewhereError, LeaderUnavailableError after some attempts
   */
  async upload(
    group: GroupId,
    { place, placeId, at }: UploadOrder,
    onProgress: (progress: UploadProgress) => void,
    signal: AbortSignal,
  ): Promise<BackupGroup> {
    const question: BackupQuestion = { kind: 'upload', place, placeId, group, at: at.toString() };
    const { group: copy } = await this.askLeader(group, question, onProgress, signal);
    if (copy === undefined) throw new BackupMessageError(`a node says nothing of the copy of group ${group}`);
    return { ...copy, group };
  }

  /**
   * Has the leader of a group store its changes, wherever it is.
   * @throws ElsewhereError, LeaderUnavailableError after some attempts
   */
  async changes(
    group: GroupId,
    { place, placeId }: OpenedPlace,
    { chain, seq, attempt, from, to }: ChangesOrder,
    signal: AbortSignal,
  ): Promise<StoredChanges> {
    const moments = { from: from.toString(), to: to.toString() };
    const question: BackupQuestion = { kind: 'changes', place, placeId, group, chain, seq, attempt, ...moments };
    const { changes } = await this.askLeader(group, question, () => undefined, signal);
    if (changes === undefined) throw new BackupMessageError(`a node says nothing of the changes of group ${group}`);
    return toldChanges(changes, group);
  }

  /** Asks whoever leads a group, again when that may help. */
  private async askLeader(
    group: GroupId,
    question: BackupQuestion,
    onProgress: (progress: UploadProgress) => void,
    signal: AbortSignal,
  ): Promise<DoneAnswer> {
    const { leaderOf, scheduler, random, network } = this.options;
    for (let attempt = 0; ; attempt++) {
      signal.throwIfAborted();
      try {
        return await this.ask(leaderOf(group) ?? network.self, question, onProgress, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (attempt + 1 === TRIES || !hasCode(error, ...PASSING)) throw error;
        await sleep(scheduler, backoffMs(AGAIN, attempt, random), signal);
      }
    }
  }

  /** Asks a node, which may be this one. */
  private async ask(
    node: NodeId,
    question: BackupQuestion,
    onProgress: (progress: UploadProgress) => void,
    signal: AbortSignal,
  ): Promise<DoneAnswer> {
    const { network, scheduler } = this.options;
    const header = encodeBackupMessage(question);
    return new Promise((resolve, reject) => {
      const abort = new AbortController();
      const stream = node === network.self ? undefined : network.duplex(node, SERVICE, header);
      const end = (settle: () => void): void => {
        cancel();
        signal.removeEventListener('abort', onAbort);
        abort.abort();
        stream?.close();
        settle();
      };
      const fail = (error: unknown): void => end(() => reject(error));
      const onAbort = (): void => fail(signal.reason);
      const onSilence = (): void =>
        fail(new LeaderUnavailableError(`node ${node} said nothing of its part of the backup for ${SILENT_MS} ms`));
      let cancel = scheduler.after(SILENT_MS, onSilence);
      const hear = (answer: BackupAnswer): void => {
        cancel();
        cancel = scheduler.after(SILENT_MS, onSilence);
        if (answer.kind === 'progress') onProgress(answer);
        else if (answer.kind === 'done') end(() => resolve(answer));
        else fail(new ElsewhereError(node, answer));
      };
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
      else if (stream === undefined) void this.answer(header, hear, abort);
      else {
        stream.onMessage((bytes) => {
          try {
            hear(decodeBackupAnswer(bytes));
          } catch (error) {
            fail(error);
          }
        });
        stream.onEnd((error) =>
          fail(new LeaderUnavailableError(`the stream to node ${node} ended: ${error?.message ?? 'it was closed'}`)),
        );
      }
    });
  }

  /** Answers one question, once with an end. */
  private async answer(header: Buffer, tell: (answer: BackupAnswer) => void, abort: AbortController): Promise<void> {
    const { scheduler } = this.options;
    this.under.add(abort);
    let progress: UploadProgress = { bytes: 0, doneBytes: 0, newBytes: 0 };
    let cancel = (): void => undefined;
    const live = (): void => {
      tell({ kind: 'progress', ...progress });
      cancel = scheduler.after(ALIVE_MS, live);
    };
    try {
      const question = decodeBackupQuestion(header);
      cancel = scheduler.after(ALIVE_MS, live);
      if (question.kind === 'check') {
        await this.serveCheck(question);
        tell({ kind: 'done' });
      } else if (question.kind === 'changes') {
        tell({ kind: 'done', changes: await this.serveChanges(question, abort.signal) });
      } else {
        const group = await this.serveUpload(
          question,
          (now) => {
            progress = now;
            tell({ kind: 'progress', ...now });
          },
          abort.signal,
        );
        tell({ kind: 'done', group });
      }
    } catch (error) {
      const isKnown = error instanceof KvorumError;
      tell({
        kind: 'failed',
        code: isKnown ? error.code : 'INTERNAL',
        disposition: isKnown ? error.disposition : 'wait',
        message: error instanceof Error ? error.message : String(error),
      });
    } finally {
      cancel();
      this.under.delete(abort);
    }
  }

  private async servePoint(payload: Buffer): Promise<Buffer> {
    const { group } = JSON.parse(payload.toString()) as { readonly group: number };
    return Buffer.from((await this.options.archive.point(groupId(group))).toString());
  }

  private async serveCheck({ place, placeId }: Extract<BackupQuestion, { kind: 'check' }>): Promise<void> {
    await this.joined(place, placeId, async () => undefined);
  }

  /** The place that another node has opened. */
  private async join(place: string, placeId: string): Promise<BackupPlace> {
    const { surroundings, random } = this.options;
    if (surroundings === undefined) throw new BackupKeyError('this node makes no backups');
    const key = await surroundings.key();
    const store = await surroundings.open(place);
    try {
      return await BackupPlace.join(store, key, placeId, random);
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  private async serveUpload(
    { place, placeId, group, at }: Extract<BackupQuestion, { kind: 'upload' }>,
    onProgress: (progress: UploadProgress) => void,
    signal: AbortSignal,
  ): Promise<BackupGroup> {
    const { archive, scheduler, random } = this.options;
    return this.uploads.run(signal, () =>
      this.joined(place, placeId, async (opened) => {
        const cut = await archive.cut(groupId(group), hlcTimestamp(BigInt(at)), CLOSE_TIMEOUT_MS);
        try {
          return await uploadCopy({
            place: opened,
            group: groupId(group),
            index: snapshotFacts(cut.manifest).index,
            manifest: cut.manifest,
            frames: (segment) => cut.frames(segment),
            limit: this.limit(),
            ...{ scheduler, random, signal, onProgress },
          });
        } finally {
          await cut.close();
        }
      }),
    );
  }

  private async serveChanges(
    question: Extract<BackupQuestion, { kind: 'changes' }>,
    signal: AbortSignal,
  ): Promise<ToldChanges> {
    const { archive, random, compression = pooledCompression } = this.options;
    const { place, placeId, chain, seq, attempt } = question;
    const group = groupId(question.group);
    const moments = { from: hlcTimestamp(BigInt(question.from)), to: hlcTimestamp(BigInt(question.to)) };
    return this.changing.run(signal, () =>
      this.joined(place, placeId, async (opened) => {
        const limit = this.limit();
        const changes = await archive.changes(group, moments, CLOSE_TIMEOUT_MS, async (bytes) => {
          signal.throwIfAborted();
          await limit.take(bytes);
        });
        const order = { chain, seq, attempt, ...moments };
        const log = new ChangeLog(opened);
        return tellChanges(await storeChanges({ log, group, order, changes, compression, limit, random, signal }));
      }),
    );
  }

  /** Runs `work` over a place that another node has opened. */
  private async joined<Result>(
    place: string,
    placeId: string,
    work: (opened: BackupPlace) => Promise<Result>,
  ): Promise<Result> {
    const opened = await this.join(place, placeId);
    try {
      return await work(opened);
    } finally {
      await opened.store.close();
    }
  }

  /** What all uploads of this node share; another one when the rate was changed. */
  private limit(): ByteRateLimit {
    const { clock, scheduler, bytesPerSecond } = this.options;
    const wanted = bytesPerSecond();
    if (this.rate?.bytesPerSecond !== wanted) {
      this.rate = { bytesPerSecond: wanted, limit: new ByteRateLimit(clock, scheduler, wanted) };
    }
    return this.rate.limit;
  }
}
