/** Errors of the write-ahead log. */
import { type ErrorDisposition, KvorumError } from '../../platform/index.ts';

const causeCode = (cause: unknown): string | undefined => {
  const code = (cause as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
};

const advice = (code: string | undefined): string => {
  if (code === 'ENOSPC' || code === 'EDQUOT') return 'Free space on its file system, then start the node again';
  if (code === 'EROFS' || code === 'EACCES' || code === 'EPERM')
    return 'Make the folder writable for this process, then start the node again';
  return 'Check the disk and the kernel log, then start the node again';
};

/**
 * A stable write failed, which is final for the store: how much of it reached the disk is unknown, so the node must stop
 * and recover from what is really there.
 */
export class LogWriteError extends KvorumError {
  readonly code = 'LOG_WRITE_FAILED';
  readonly disposition: ErrorDisposition = 'unknown';
  readonly folder: string;

  constructor(folder: string, cause: unknown) {
    const code = causeCode(cause);
    const reason = code ?? (cause instanceof Error ? cause.message : String(cause));
    super(
      `the write-ahead log in ${folder} cannot be written (${reason}), so this node must stop. ` +
        `${advice(code)}: everything that was acknowledged is recovered.`,
      { cause },
    );
    this.folder = folder;
  }
}

/** The log was closed; nothing was written. */
export class LogClosedError extends KvorumError {
  readonly code = 'LOG_CLOSED';
  readonly disposition: ErrorDisposition = 'final';

  constructor(folder: string) {
    super(`the write-ahead log in ${folder} is closed`);
  }
}

/** Bytes that were once acknowledged as stable cannot be read back. The log refuses to open over it. */
export class LogCorruptError extends KvorumError {
  readonly code = 'LOG_CORRUPT';
  readonly disposition: ErrorDisposition = 'final';
  readonly file: string;
  /** Byte offset in `file`. */
  readonly offset: number;

  constructor(file: string, offset: number, what: string) {
    super(
      `the write-ahead log is damaged: ${file} at byte ${offset}: ${what}. Acknowledged writes may be lost, so this node ` +
        'does not start. Restore the file from a copy, or remove the node from its groups, move its data folder away and ' +
        'add it again as a new node: it then gets its state from the other replicas.',
    );
    this.file = file;
    this.offset = offset;
  }
}

/** The log that this data folder once had is not where it was. The node does not start: its votes and entries are in it. */
export class LogMissingError extends KvorumError {
  readonly code = 'LOG_MISSING';
  readonly disposition: ErrorDisposition = 'final';
  /** The newest segment that there ever was. */
  readonly file: string;

  /** @param left segments that are there */
  constructor(folder: string, file: string, left: number) {
    super(
      `${left === 0 ? `the write-ahead log in ${folder} is gone` : `the newest segment of the write-ahead log, ${file}, is gone`}, ` +
        'so this node does not start: what it voted for and acknowledged is in it. Is its file system mounted? If the log ' +
        'is lost, remove the node from its groups, move its data folder away and add it again as a new node: it then gets ' +
        'its state from the other replicas.',
    );
    this.file = file;
  }
}
