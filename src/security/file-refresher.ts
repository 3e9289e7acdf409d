/**
 * Reads files with certificates and passwords again, every few seconds and when asked (SIGHUP). They are small and few, so
 * they are read, not watched: that also sees a changed symbolic link, a mount that was swapped, and a network folder.
 * What cannot be used is logged once and leaves what was there in use, so a mistake never takes a node out of service.
 */
import { type Cancel, KvorumError, type Millis, type Scheduler } from '../platform/index.ts';

/** Something that was read from files. */
export interface Refreshable {
  /** How messages name it. */
  readonly what: string;
  /**
   * Reads its files again.
   * @returns true when something has changed
   * @throws KvorumError when they cannot be used; nothing has changed then
   */
  refresh(): Promise<boolean>;
  /** Something that an operator should know about what is in use now. */
  warning?(): string | undefined;
}

/** The part of a pino logger that is used. */
export interface SecurityLogger {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

export interface FileRefresherOptions {
  readonly sources: readonly Refreshable[];
  readonly scheduler: Scheduler;
  readonly everyMs: Millis;
  readonly logger: SecurityLogger | undefined;
}

/** See the top of the file. */
export class FileRefresher {
  private readonly options: FileRefresherOptions;
  /** What was logged last about a source. */
  private readonly failures = new Map<Refreshable, string>();
  private readonly warnings = new Map<Refreshable, string>();
  private cancel: Cancel = () => {};
  private running: Promise<void> | undefined;
  private isStopped = false;

  constructor(options: FileRefresherOptions) {
    this.options = options;
  }

  /** Begins to look every `everyMs`, and says at once what there is to warn of. */
  start(): void {
    for (const source of this.options.sources) this.warn(source);
    if (this.options.sources.length > 0) this.schedule();
  }

  stop(): void {
    this.isStopped = true;
    this.cancel();
  }

  /** Looks now; settles when everything has been read. Never rejects: what is wrong is logged. */
  async refresh(): Promise<void> {
    // A round that is under way may have read a file before it changed.
    await this.running;
    this.running ??= this.round().finally(() => {
      this.running = undefined;
    });
    await this.running;
  }

  private schedule(): void {
    if (this.isStopped) return;
    this.cancel = this.options.scheduler.after(this.options.everyMs, () => {
      void this.refresh().finally(() => this.schedule());
    });
  }

  private async round(): Promise<void> {
    const { sources, logger } = this.options;
    for (const source of sources) {
      try {
        const hasChanged = await source.refresh();
        this.failures.delete(source);
        if (hasChanged) logger?.info({}, `the ${source.what} was read again`);
      } catch (error) {
        this.failed(source, error);
      }
      this.warn(source);
    }
  }

  private failed(source: Refreshable, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (this.failures.get(source) === message) return;
    this.failures.set(source, message);
    const code = error instanceof KvorumError ? error.code : 'INTERNAL';
    this.options.logger?.error({ code }, `${message}; what was read before stays in use`);
  }

  private warn(source: Refreshable): void {
    const warning = source.warning?.();
    if (warning === undefined || warning === this.warnings.get(source)) return;
    this.warnings.set(source, warning);
    this.options.logger?.warn({}, warning);
  }
}
