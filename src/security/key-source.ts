/**
 * Where an operator keeps the keys that wrap: in a file, in the environment, or behind a command that asks whoever has them (a vault, a
 * key management service, a hardware module). They are read at the start and again from time to time, so a new key that is put first
 * comes into use while the program runs.
 */
import { spawn } from 'node:child_process';
import { EncryptionKeyError } from './errors.ts';
import type { Refreshable } from './file-refresher.ts';
import { WrappingKeys } from './key-wrapping.ts';
import type { Secret } from './secret.ts';
import { readSecretFile } from './secret-file.ts';

/** One of them is given. */
export interface KeyPlace {
  /** The key itself: from the environment. */
  readonly key?: Secret | undefined;
  /** A file with one key a line. */
  readonly file?: string | undefined;
  /** A command line for the shell, which prints one key a line. */
  readonly command?: string | undefined;
}

const MAX_BYTES = 16 * 1024;
/** Services that have to be asked over a network are slow, and one that never answers must not hold a start up for ever. */
const COMMAND_MS = 30_000;

/** What a command prints. Its complaints go where those of this process go; what it prints is never repeated. */
function outputOf(command: string, what: string): Promise<string> {
  return new Promise((resolve, reject) => {
    // A group of its own: what the shell has started ends with it.
    const child = spawn(command, { shell: true, detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
    const patience = AbortSignal.timeout(COMMAND_MS);
    let text = '';
    let ending: string | undefined;
    const end = (reason: string): void => {
      ending ??= reason;
      child.stdout.destroy();
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      process.kill(-child.pid, 'SIGKILL');
    };
    const late = (): void => end(`took longer than ${COMMAND_MS / 1000} s`);
    const refuse = (reason: string, cause?: unknown): void =>
      reject(new EncryptionKeyError(`${what} ${reason}`, { cause }));
    patience.addEventListener('abort', late);
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      text += part;
      if (text.length > MAX_BYTES) end('prints too much for a list of keys');
    });
    child.on('error', (error) => refuse('cannot be run', error));
    child.on('close', (code, signal) => {
      patience.removeEventListener('abort', late);
      if (ending !== undefined) refuse(ending);
      else if (signal !== null) refuse(`was ended by ${signal}`);
      else if (code !== 0) refuse(`ended with code ${code}`);
      else resolve(text);
    });
  });
}

async function readKeys({ key, file, command }: KeyPlace): Promise<WrappingKeys> {
  if (file !== undefined) {
    const what = `the key file ${file}`;
    const refuse = (reason: string): never => {
      throw new EncryptionKeyError(`${what} ${reason}`);
    };
    return WrappingKeys.parse(await readSecretFile(file, MAX_BYTES, refuse), what);
  }
  if (command !== undefined) {
    const what = 'the command that gives the key';
    return WrappingKeys.parse(await outputOf(command, what), what);
  }
  return WrappingKeys.parse(key?.reveal() ?? '', 'the key that is given');
}

/** See the top of the file. */
export class KeySource implements Refreshable {
  readonly what: string;
  private readonly place: KeyPlace;
  private read: WrappingKeys;
  /** Told when other keys are given than before, after they are in use. */
  onChange: (keys: WrappingKeys) => Promise<void> = async () => {};

  private constructor(place: KeyPlace, read: WrappingKeys) {
    this.what = place.file !== undefined ? `key file ${place.file}` : 'key for what is stored';
    this.place = place;
    this.read = read;
  }

  /**
   * @returns undefined when no place is given
   * @throws EncryptionKeyError
   */
  static async open(place: KeyPlace): Promise<KeySource | undefined> {
    const isGiven = place.key !== undefined || place.file !== undefined || place.command !== undefined;
    return isGiven ? new KeySource(place, await readKeys(place)) : undefined;
  }

  get keys(): WrappingKeys {
    return this.read;
  }

  /** Asking costs more than reading a file. */
  get isCommand(): boolean {
    return this.place.command !== undefined;
  }

  async refresh(): Promise<boolean> {
    const read = await readKeys(this.place);
    if (read.names.join() === this.read.names.join()) return false;
    await this.onChange(read);
    this.read = read;
    return true;
  }
}
