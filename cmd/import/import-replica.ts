/** An import from a running Redis: a copy of everything, and then each write, for as long as it is wanted. */
import { setTimeout as delay } from 'node:timers/promises';
import { RdbFormatError } from '../../src/adapter/redis/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import { formatCount } from '../cli/table.ts';
import { Link, type LinkSecurity, type LinkTarget, ServerError } from '../redis/index.ts';
import { Applier, forgetPlace, type StoredPlace, storedPlace } from './applier.ts';
import { SourceEndedError } from './byte-source.ts';
import type { Differences } from './differences.ts';
import type { ImportReport } from './import-file.ts';
import { FileLoader } from './load-file.ts';
import { Progress, type ProgressOutput, readingLine } from './progress.ts';
import { Replica } from './replica.ts';
import { Tally } from './tally.ts';
import { requireEmpty } from './target.ts';
import { LiveVerifier } from './verify-live.ts';
import { GaveUpError, untilTaken, Writer, type WriterOptions } from './writer.ts';

const RECONNECT_MS = 1_000;
const SAMPLE_EVERY_MS = 1_000;
/** Before it follows: what comes to its end then need not wait for long. */
const FIRST_SAMPLES_EVERY_MS = 100;

export interface ReplicaImport {
  readonly source: LinkTarget;
  readonly sourceSecurity: LinkSecurity;
  readonly writer: WriterOptions;
  /** The cluster is emptied before a copy of everything comes. */
  readonly isReplacing: boolean;
  /** Ends when it has what the source had at a moment after the copy. */
  readonly untilCaughtUp: boolean;
  /** What the source does afterwards is of no interest: how far it has come is not kept when it has caught up. */
  readonly isLast: boolean;
  /** Compares all keys in the end. */
  readonly verify: boolean;
  readonly output: ProgressOutput;
  readonly interrupted: AbortSignal;
}

/** What is known of the way behind the source. */
class Lag {
  /** Where the source was, each second, oldest first. */
  private readonly samples: { readonly offset: number; readonly atMs: number }[] = [];
  private reached = 0;
  private newest = 0;

  sample(offset: number): void {
    this.newest = offset;
    this.samples.push({ offset, atMs: performance.now() });
  }

  reach(offset: number): void {
    this.reached = offset;
    while (this.samples.length > 0 && this.samples[0]!.offset <= offset) this.samples.shift();
  }

  get bytes(): number {
    return Math.max(0, this.newest - this.reached);
  }

  get seconds(): number {
    return this.samples.length === 0 ? 0 : (performance.now() - this.samples[0]!.atMs) / 1000;
  }
}

/** Follows a source until it is told to stop. */
class Follower {
  private readonly request: ReplicaImport;
  private readonly tally = new Tally();
  private readonly lag = new Lag();
  private readonly startMs = performance.now();
  private replica: Replica | undefined;
  private bytes = 0;
  private state: 'copying' | 'following' = 'copying';
  private reached = 0;
  /** Where the source was when the copy was complete; reached, the import is as far as the source was then. */
  private goal: number | undefined;
  private hasReachedGoal = false;
  private isOver = false;
  private comparing: Promise<void> = Promise.resolve();
  private verifier: LiveVerifier | undefined;
  private differences: Differences | undefined;

  constructor(request: ReplicaImport) {
    this.request = request;
  }

  async run(): Promise<ImportReport> {
    const { request, tally } = this;
    const { interrupted, writer } = request;
    interrupted.addEventListener('abort', () => this.replica?.close(), { once: true });
    let place = await storedPlace(writer);
    if (place === undefined && !request.isReplacing) await requireEmpty(writer);
    if (place !== undefined)
      request.output.write(`going on behind byte ${formatCount(place.offset)} of the history of the source\n`);
    const progress = new Progress(request.output, () => this.line());
    const sampling = this.sampleSource();
    try {
      while (!interrupted.aborted && !this.isOver) {
        try {
          place = await this.follow(place);
        } catch (error) {
          if (!(error instanceof SourceEndedError)) throw error;
          place = (await storedPlace(writer)) ?? place;
          if (!interrupted.aborted && !this.isOver) await delay(RECONNECT_MS);
        }
      }
    } catch (error) {
      if (error instanceof RdbFormatError)
        throw new CommandFailure(`the source sends what is no data of Redis: ${error.message}`);
      if (error instanceof GaveUpError) throw new CommandFailure(`the cluster takes nothing: ${error.message}`);
      throw error;
    } finally {
      progress.end();
      this.replica?.close();
      this.isOver = true;
      await sampling;
    }
    await this.comparing;
    if (request.isLast && this.hasReachedGoal) await forgetPlace(writer);
    return { tally, seconds: (performance.now() - this.startMs) / 1000, differences: this.differences };
  }

  /** One connection to the source, from its beginning to its end. @returns only when it is caught up */
  private async follow(stored: StoredPlace | undefined): Promise<StoredPlace> {
    const { request, tally } = this;
    const replica = await this.connect();
    this.replica = replica;
    try {
      const { isFull, place } = await replica.begin(stored);
      let start: StoredPlace = { ...place, database: stored?.database ?? 0 };
      if (isFull) {
        await this.copy(replica, stored);
        start = { ...place, database: 0 };
      }
      const applier = new Applier(request.writer, tally, start, (offset) => this.reach(replica, offset));
      try {
        await applier.start();
        this.state = 'following';
        if (this.isOver) return start;
        for await (const commands of replica.commands(place.offset)) {
          for (const command of commands) await applier.take(command);
          await applier.flush();
        }
        return start;
      } finally {
        applier.close();
      }
    } finally {
      replica.close();
    }
  }

  private async connect(): Promise<Replica> {
    const { source, sourceSecurity, writer } = this.request;
    try {
      return await untilTaken(writer.giveUpMs, () => Replica.open(source, sourceSecurity));
    } catch (error) {
      throw new CommandFailure(`cannot connect to ${source.host}:${source.port}: ${(error as Error).message}`);
    }
  }

  /** Everything that the source has. */
  private async copy(replica: Replica, stored: StoredPlace | undefined): Promise<void> {
    const { request, tally } = this;
    if (stored !== undefined && !request.isReplacing)
      throw new CommandFailure(
        'the source cannot go on where this import has ended (its backlog is too short, or it is another one); ' +
          '--replace empties the cluster and copies everything again',
      );
    this.state = 'copying';
    this.bytes = 0;
    const writer = new Writer(request.writer);
    const loader = new FileLoader(writer, tally, {
      existing: 'replace',
      skipBytes: 0,
      nowMs: Date.now,
      onPosition: (position) => {
        this.bytes = position;
      },
    });
    try {
      if (request.isReplacing) await loader.empty();
      await loader.load(replica.file());
      // Commands that follow must not meet what an earlier try of the copy writes late.
      await writer.quiet();
    } finally {
      loader.close();
      writer.close();
    }
  }

  private reach(replica: Replica, offset: number): void {
    this.reached = offset;
    this.lag.reach(offset);
    replica.acknowledge(offset);
    if (this.goal === undefined || offset < this.goal || this.hasReachedGoal) return;
    this.hasReachedGoal = true;
    this.comparing = this.atGoal();
    // It is waited for in the end.
    this.comparing.catch(() => undefined);
  }

  /** The cluster has what the source had when its copy was complete. Writes go on while keys are compared. */
  private async atGoal(): Promise<void> {
    try {
      if (this.request.verify) this.differences = await this.compare();
    } finally {
      if (this.request.untilCaughtUp) this.end();
    }
  }

  private end(): void {
    this.isOver = true;
    this.replica?.close();
  }

  /** Asks the source each second how far it is. */
  private async sampleSource(): Promise<void> {
    const { source, sourceSecurity, interrupted } = this.request;
    let link: Link | undefined;
    while (!interrupted.aborted && !this.isOver) {
      try {
        link = link?.isOpen === true ? link : await Link.open(source, sourceSecurity);
        const info = await link.call(['INFO', 'replication']);
        const offset = Number(/^master_repl_offset:(\d+)/m.exec(String(info))?.[1] ?? 0);
        this.lag.sample(offset);
        if (this.state === 'following') {
          this.goal ??= offset;
          if (this.replica !== undefined) this.reach(this.replica, this.reached);
        }
      } catch {
        // The import itself says that the source is away.
      }
      await delay(this.goal === undefined ? FIRST_SAMPLES_EVERY_MS : SAMPLE_EVERY_MS);
    }
    link?.close();
  }

  private line(): string {
    if (this.state === 'copying') return readingLine(this.bytes, undefined, this.tally.written, this.startMs);
    const { commands, written } = this.tally;
    const compared = this.verifier === undefined ? '' : `, ${formatCount(this.verifier.differences.compared)} compared`;
    const behind = `${formatCount(this.lag.bytes)} bytes and ${this.lag.seconds.toFixed(1)} s behind the source`;
    return `${formatCount(written)} keys copied${compared}, then ${formatCount(commands)} commands, ${behind}`;
  }

  private async compare(): Promise<Differences> {
    const { source, sourceSecurity, writer } = this.request;
    const verifier = new LiveVerifier(source, sourceSecurity, writer);
    this.verifier = verifier;
    try {
      return await verifier.verify();
    } catch (error) {
      if (error instanceof ServerError) throw new CommandFailure(`the comparison was refused: ${error.message}`);
      throw error;
    } finally {
      verifier.close();
    }
  }
}

/**
 * Follows a Redis until it is interrupted, or has caught up.
 * @throws CommandFailure for what the user can do something about
 */
export function importReplica(request: ReplicaImport): Promise<ImportReport> {
  return new Follower(request).run();
}
