/** Looks for scripts that were loaded by way of other nodes. */
import type { GroupId } from '../../../platform/index.ts';
import type { ResolvedCommand } from '../command/index.ts';
import { KEYSPACES, SCRIPT_DB } from '../keys/index.ts';
import { bulkIn, type Reply } from '../protocol/index.ts';
import { CommandRequest, type GroupRequest, type RequestOwner } from '../request/index.ts';
import type { ServerState } from '../state/index.ts';

/** Asks a group something for a connection. */
type Ask = (group: GroupId, make: (owner: RequestOwner, token: number) => GroupRequest) => Promise<Reply>;

/** The script that a command waits for. */
export class ScriptWait {
  private readonly server: ServerState;
  /** SHA-1 of a script that was just looked for. */
  private missing: string | undefined;

  constructor(server: ServerState) {
    this.server = server;
  }

  /** SHA-1 of a script to look for before a command runs; undefined when there is none, or it was just looked for. */
  wanted({ spec }: ResolvedCommand, args: readonly Buffer[]): string | undefined {
    const sha = spec.needsScript!(this.server.scripts, args);
    if (sha !== undefined && sha !== this.missing) return sha;
    this.missing = undefined;
    return undefined;
  }

  /** Looks for a script; after that it is not wanted again. */
  look(sha: string, ask: Ask): Promise<void> {
    this.missing = sha;
    return lookForScript(this.server, sha, ask);
  }
}

/** Reads a script from where SCRIPT LOAD stores it; this node knows it then, if it was there. @param sha lower case */
async function lookForScript(server: ServerState, sha: string, ask: Ask): Promise<void> {
  const key = Buffer.from(sha, 'latin1');
  const args = [Buffer.from('get'), key];
  const { spec } = server.table.resolve(args)!;
  const { settings } = server;
  const reply = await ask(
    server.kv.groupOf(KEYSPACES[SCRIPT_DB]!.storageKey(key)),
    (owner, token) => new CommandRequest({ spec, args, db: SCRIPT_DB, resp: 2, settings, owner, token }),
  );
  const text = bulkIn(reply);
  if (text !== undefined) server.scripts.keep({ sha, text });
}
