/** Servers any of which will do, one after the other. */

import type { CommandLine } from './command-bytes.ts';
import type { LinkSecurity, LinkTarget } from './connection.ts';
import { Link } from './link.ts';

export interface Upstream {
  readonly targets: readonly LinkTarget[];
  readonly security: LinkSecurity;
}

/** Opens what the first of them that can be reached gives. @throws the error of the last when there is none */
export async function openFirst<T>(
  { targets, security }: Upstream,
  open: (target: LinkTarget, security: LinkSecurity) => Promise<T>,
): Promise<T> {
  let failure: unknown;
  for (const target of targets) {
    try {
      return await open(target, security);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** A connection to one node after the other that knows which database it talks of. */
export class Lane {
  private readonly upstream: Upstream;
  private at: number;
  private link: Link | undefined;
  private opening: Promise<Link> | undefined;
  private database = 0;

  /** @param at which of the servers is the first */
  constructor(upstream: Upstream, at: number) {
    this.upstream = upstream;
    this.at = at;
  }

  /**
   * Sends commands one behind the other; nothing comes between them.
   * @returns the answers, errors of the server as values
   * @throws LinkClosedError, or the error of opening a connection
   */
  async send(database: number, commands: readonly CommandLine[]): Promise<unknown[]> {
    const link = await this.connected();
    const sent: Promise<unknown>[] = [];
    if (this.database !== database) {
      this.database = database;
      sent.push(link.call(['SELECT', database]));
    }
    for (const command of commands) sent.push(link.send(command));
    const answers = await Promise.all(sent);
    return answers.slice(answers.length - commands.length);
  }

  /** Opens the connection if there is none. @throws the error of opening it */
  async connected(): Promise<Link> {
    if (this.link?.isOpen === true) return this.link;
    this.opening ??= this.openNext().finally(() => {
      this.opening = undefined;
    });
    return this.opening;
  }

  close(): void {
    this.link?.close();
  }

  private async openNext(): Promise<Link> {
    const { targets, security } = this.upstream;
    this.link = await Link.open(targets[this.at++ % targets.length]!, security);
    this.database = 0;
    return this.link;
  }
}
