/**
 * A user: whether it may come in, the digests of its passwords, and selectors of what it may do. Immutable: ACL SETUSER makes another one from it.
 * Strings are bytes, one a character (latin1).
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { UserView } from '../command/index.ts';
import { splitInline } from '../protocol/index.ts';
import { ModifierError } from './modifier-error.ts';
import type { RuleCommands } from './rule-commands.ts';
import { bytesOf, hasSpaces, Selector } from './selector.ts';

/** The user of a connection that has not said who it is. */
export const DEFAULT_USER = 'default';

/** What users are made with. */
export interface UserEnvironment {
  readonly commands: RuleCommands;
  /** acl-pubsub-default: what is new may use all channels. */
  readonly allChannels: boolean;
}

/** A user as plain values. */
export interface UserParts {
  readonly name: string;
  readonly flags: readonly string[];
  /** SHA-256, hexadecimal. */
  readonly hashes: readonly string[];
  /** Rules, selector by selector. */
  readonly selectors: readonly (readonly string[])[];
}

const HASH = /^[0-9a-f]{64}$/;

const digestOf = (password: Buffer): Buffer => createHash('sha256').update(password).digest();

/** Compared with where a user has fewer passwords, or is not there. */
const NO_PASSWORD = Buffer.alloc(32);

export class User implements UserView {
  readonly name: string;
  isOn = false;
  /** Any password will do. */
  isOpen = false;
  /** sanitize-payload and skip-sanitize-payload; payloads are always checked here. */
  private sanitizing: 'unsaid' | 'yes' | 'no' = 'unsaid';
  /** SHA-256, hexadecimal, in the order in which they were added. */
  private hashes: string[] = [];
  /** The first is that of the user itself, which is always there. */
  private list: [Selector, ...Selector[]];
  private readonly environment: UserEnvironment;
  private bytes: Buffer | undefined;

  /** A new user: off, without passwords, and nothing is permitted. */
  constructor(name: string, environment: UserEnvironment) {
    this.name = name;
    this.environment = environment;
    this.list = [new Selector(environment.commands, environment.allChannels)];
  }

  /** The user that may do everything. @param hashes of its passwords; without any it needs none */
  static unlimited(name: string, environment: UserEnvironment, hashes: readonly string[]): User {
    const user = new User(name, environment);
    for (const rule of ['+@all', '~*', '&*', 'on']) user.applyOne(rule);
    user.isOpen = hashes.length === 0;
    user.hashes = [...hashes];
    return user;
  }

  /**
   * The user that rules make of this one.
   * @throws ModifierError with `rule` the first that was not taken
   */
  changedBy(rules: readonly string[], name = this.name): User {
    const changed = new User(name, this.environment);
    changed.isOn = this.isOn;
    changed.isOpen = this.isOpen;
    changed.sanitizing = this.sanitizing;
    changed.hashes = [...this.hashes];
    changed.list = this.list.map((selector) => selector.copy()) as [Selector, ...Selector[]];
    for (const rule of rules) {
      try {
        changed.applyOne(rule);
      } catch (error) {
        if (error instanceof ModifierError) throw new RefusedRuleError(rule, error);
        throw error;
      }
    }
    return changed;
  }

  get selectors(): readonly Selector[] {
    return this.list;
  }

  /** Nothing is forbidden. */
  get isUnlimited(): boolean {
    return this.list.some((selector) => selector.isUnlimited);
  }

  /** It needs no password, and is on. */
  get isFree(): boolean {
    return this.isOn && this.isOpen;
  }

  get passwordHashes(): readonly string[] {
    return this.hashes;
  }

  /** The flags as ACL GETUSER shows them. */
  flags(): string[] {
    const flags = [this.isOn ? 'on' : 'off'];
    if (this.isOpen) flags.push('nopass');
    if (this.sanitizing !== 'unsaid')
      flags.push(this.sanitizing === 'yes' ? 'sanitize-payload' : 'skip-sanitize-payload');
    return flags;
  }

  /** The rules that make this user of a new one, as ACL LIST shows them. */
  describe(): string {
    const [root, ...others] = this.list;
    return [
      ...this.flags(),
      ...this.hashes.map((hash) => `#${hash}`),
      ...root.rules(),
      ...others.map((selector) => `(${selector.rules().join(' ')})`),
    ].join(' ');
  }

  /** The plain values as bytes. */
  get encoded(): Buffer {
    this.bytes ??= Buffer.from(JSON.stringify(this.toParts()));
    return this.bytes;
  }

  /** All of it as plain values, to be stored and sent; `fromParts` reads it. */
  toParts(): UserParts {
    return {
      name: this.name,
      flags: this.flags(),
      hashes: this.hashes,
      selectors: this.list.map((selector) => selector.rules()),
    };
  }

  /**
   * A user as another program has stored it. A command that this program does not know cannot be run here, so rules about it are left out; a user
   * that cannot be read in another way may do nothing.
   */
  static fromParts({ name, flags, hashes, selectors }: UserParts, environment: UserEnvironment): User {
    const user = new User(name, environment);
    try {
      for (const flag of [...flags, ...hashes.map((hash) => `#${hash}`)]) user.applyOne(flag);
      user.list = selectors.map((rules) => {
        const selector = new Selector(environment.commands, false);
        for (const rule of rules) {
          try {
            selector.apply(rule);
          } catch (error) {
            if (!(error instanceof ModifierError) || error.reason !== 'unknownCommand') throw error;
          }
        }
        return selector;
      }) as [Selector, ...Selector[]];
    } catch (error) {
      if (!(error instanceof ModifierError)) throw error;
      return new User(name, environment);
    }
    return user;
  }

  /** Whether somebody who gives this password may be this user. Takes the same time for every password. */
  admits(password: Buffer): boolean {
    const digest = digestOf(password);
    let found = 0;
    for (const hash of this.hashes) found |= Number(timingSafeEqual(Buffer.from(hash, 'hex'), digest));
    return this.isOn && (this.isOpen || found !== 0);
  }

  private applyOne(rule: string): void {
    if (rule === '') return;
    const word = rule.toLowerCase();
    const sign = rule[0]!;
    if (word === 'on' || word === 'off') this.isOn = word === 'on';
    else if (word === 'nopass' || word === 'resetpass') {
      this.isOpen = word === 'nopass';
      this.hashes = [];
    } else if (word === 'sanitize-payload') this.sanitizing = 'yes';
    else if (word === 'skip-sanitize-payload') this.sanitizing = 'no';
    else if (sign === '>' || sign === '#') {
      const hash = hashIn(rule);
      if (!this.hashes.includes(hash)) this.hashes.push(hash);
      this.isOpen = false;
    } else if (sign === '<' || sign === '!') {
      const hash = hashIn(rule);
      if (!this.hashes.includes(hash)) throw new ModifierError('noSuchPassword');
      this.hashes = this.hashes.filter((known) => known !== hash);
    } else if (sign === '(' && rule.endsWith(')')) this.list.push(this.selectorOf(rule.slice(1, -1)));
    else if (word === 'clearselectors') this.list.length = 1;
    else if (word === 'reset') this.reset();
    else this.list[0].apply(rule);
  }

  private selectorOf(rules: string): Selector {
    const { commands, allChannels } = this.environment;
    const selector = new Selector(commands, allChannels);
    for (const rule of splitInline(bytesOf(rules)) ?? []) selector.apply(rule.toString('latin1'));
    return selector;
  }

  private reset(): void {
    const { commands, allChannels } = this.environment;
    this.isOn = false;
    this.isOpen = false;
    this.hashes = [];
    this.sanitizing = 'yes';
    this.list = [new Selector(commands, allChannels)];
  }
}

/** Compares a password with nothing, in the time that it takes to compare it with that of a user. @returns false */
export function admitNobody(password: Buffer): boolean {
  timingSafeEqual(digestOf(password), NO_PASSWORD);
  return false;
}

/** The digest that a rule gives, or that of the password that it gives. @throws ModifierError */
function hashIn(rule: string): string {
  const given = rule.slice(1);
  if (rule[0] === '>' || rule[0] === '<') return digestOf(bytesOf(given)).toString('hex');
  if (!HASH.test(given)) throw new ModifierError('badHash');
  return given;
}

/** A rule of a list was not taken, and so none was. */
export class RefusedRuleError extends Error {
  override readonly name = 'RefusedRuleError';
  readonly rule: string;
  readonly reason: ModifierError['reason'];

  constructor(rule: string, cause: ModifierError) {
    super(cause.message, { cause });
    this.rule = rule;
    this.reason = cause.reason;
  }
}

/** True for names that users may have. */
export const isUserName = (name: string): boolean => !hasSpaces(name);

/**
 * Joins the words of selectors: `(+get`, `~a)` are one rule.
 * @returns the word where a selector begins that does not end, when there is one
 */
export function joinSelectors(
  words: readonly string[],
): { readonly rules: readonly string[] } | { readonly unclosed: string } {
  const rules: string[] = [];
  let open: string | undefined;
  let first = '';
  for (const word of words) {
    // One that begins within another takes its place, as in Redis.
    if (word.startsWith('(') && !word.endsWith(')')) {
      open = word;
      first = word;
    } else if (open !== undefined) {
      open += ` ${word}`;
      if (!word.endsWith(')')) continue;
      rules.push(open);
      open = undefined;
    } else rules.push(word);
  }
  return open === undefined ? { rules } : { unclosed: first };
}
