/**
 * The clients that watch all commands of this node (MONITOR). Each command is put into words once, and the bytes go to all of them as messages
 * between replies, so one that does not read is cut off like any other reader of messages.
 */
import { EncodedReply } from '../protocol/index.ts';
import { quoted, shortened, withoutSecrets } from './shown-command.ts';

/** A command with longer arguments is shown as the slow log shows it: a line of 512 MiB helps nobody. */
const MAX_SHOWN_BYTES = 1024 * 1024;

/** A client that watches. */
export interface MonitoringClient {
  /** Place of the newest reply that it is owed, or was. */
  readonly replyPlace: number;
  /** Sends a message behind a reply. */
  push(message: EncodedReply, after: number): void;
}

export class Monitors {
  private readonly clients = new Set<MonitoringClient>();

  /** False: nobody watches, and nothing need be told. */
  get areThere(): boolean {
    return this.clients.size > 0;
  }

  add(client: MonitoringClient): void {
    this.clients.add(client);
  }

  remove(client: MonitoringClient): void {
    this.clients.delete(client);
  }

  /**
   * Shows a command to all who watch.
   * @param nowMs unix time
   * @param source where it comes from: the client's address, or `lua`
   */
  tell(nowMs: number, db: number, source: string, args: readonly Buffer[]): void {
    if (this.clients.size === 0) return;
    const seconds = Math.floor(nowMs / 1000);
    const micros = String(Math.floor((nowMs % 1000) * 1000)).padStart(6, '0');
    const line = `+${seconds}.${micros} [${db} ${source}] ${wordsOf(args)}\r\n`;
    const message = new EncodedReply(Buffer.from(line, 'latin1'));
    for (const client of [...this.clients]) client.push(message, client.replyPlace);
  }
}

function wordsOf(args: readonly Buffer[]): string {
  const shown = withoutSecrets(args);
  const bytes = shown.reduce((sum, { length }) => sum + length, 0);
  return (bytes > MAX_SHOWN_BYTES ? shortened(shown) : shown).map(quoted).join(' ');
}
