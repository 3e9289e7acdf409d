/**
 * Tokens of operators and programs, from a file that every node has: a line each, `<role> <name> <token>`. In place of the token
 * its digest may stand, `sha256:<64 hexadecimal digits>`, so that the file itself lets nobody in. A name may have several lines: a
 * new token is added, its holder goes over to it, the old line is taken out.
 *
 * Tokens are long, so that nobody guesses one, and are looked up by their digest: how long that takes says nothing
 * that somebody without the token could use.
 */
import { createHash } from 'node:crypto';
import { ACCESS_ROLES, type TokenCheck, type TokenHolder } from './access.ts';
import { TokenFileError } from './errors.ts';
import type { Refreshable } from './file-refresher.ts';
import { readSecretFile } from './secret-file.ts';

const MAX_FILE_LENGTH = 256 * 1024;
const MAX_TOKENS = 1000;
/** 128 bits in hexadecimal digits; what is shorter was thought of, not drawn. */
const MIN_TOKEN_LENGTH = 32;
/** Longer ones fit into no header. */
const MAX_TOKEN_LENGTH = 512;
const DIGEST = /^sha256:([0-9a-f]{64})$/i;

/** By digest. */
type Holders = ReadonlyMap<string, TokenHolder>;

const digestOf = (token: string): string => createHash('sha256').update(token).digest('hex');

async function readTokenFile(path: string): Promise<Holders> {
  const refuse = (reason: string): never => {
    throw new TokenFileError(`the token file ${path} ${reason}`);
  };
  const text = await readSecretFile(path, MAX_FILE_LENGTH, refuse);
  const holders = new Map<string, TokenHolder>();
  for (const [at, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const [word, name, token, ...rest] = line.trim().split(/\s+/);
    if (name === undefined || token === undefined || rest.length > 0) {
      return refuse(`has a line ${at + 1} that is not <role> <name> <token>`);
    }
    const role = ACCESS_ROLES.find((known) => known === word);
    if (role === undefined) return refuse(`names no role on line ${at + 1}; the roles are ${ACCESS_ROLES.join(', ')}`);
    const digest = DIGEST.exec(token)?.[1]?.toLowerCase();
    if (digest === undefined && (token.length < MIN_TOKEN_LENGTH || token.length > MAX_TOKEN_LENGTH)) {
      return refuse(
        `has a token of ${token.length} characters on line ${at + 1}; it takes ${MIN_TOKEN_LENGTH} to ${MAX_TOKEN_LENGTH}: openssl rand -hex 32`,
      );
    }
    const key = digest ?? digestOf(token);
    if (holders.has(key)) return refuse(`has the token of line ${at + 1} twice`);
    holders.set(key, { name, role });
  }
  if (holders.size === 0) return refuse('holds no token; it has a line <role> <name> <token> for each');
  if (holders.size > MAX_TOKENS) return refuse(`holds ${holders.size} tokens; at most ${MAX_TOKENS} count at a time`);
  return holders;
}

const shown = (holders: Holders): string => JSON.stringify([...holders]);

/** See the top of the file. */
export class Tokens implements TokenCheck, Refreshable {
  readonly what: string;
  private readonly file: string;
  private holders: Holders;

  private constructor(file: string, holders: Holders) {
    this.what = `token file ${file}`;
    this.file = file;
    this.holders = holders;
  }

  /** @param file undefined: there are none @throws TokenFileError */
  static async open(file: string | undefined): Promise<Tokens | undefined> {
    return file === undefined ? undefined : new Tokens(file, await readTokenFile(file));
  }

  find(token: string): TokenHolder | undefined {
    return token.length > MAX_TOKEN_LENGTH ? undefined : this.holders.get(digestOf(token));
  }

  async refresh(): Promise<boolean> {
    const read = await readTokenFile(this.file);
    if (shown(read) === shown(this.holders)) return false;
    this.holders = read;
    return true;
  }
}
