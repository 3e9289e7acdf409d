/**
 * A set of commands, key patterns and channel patterns that belong together: a command is permitted when one selector of a user permits all of
 * it. Strings are bytes, one a character (latin1).
 */
import { globMatches } from '../protocol/index.ts';
import { CATEGORIES } from './categories.ts';
import { ModifierError } from './modifier-error.ts';
import type { RuleCommand, RuleCommands } from './rule-commands.ts';

/** What a command does with a key, as far as permissions go. */
export interface KeyUse {
  readonly reads: boolean;
  readonly writes: boolean;
}

interface KeyPattern {
  readonly text: string;
  readonly bytes: Buffer;
  reads: boolean;
  writes: boolean;
}

interface ChannelPattern {
  readonly text: string;
  readonly bytes: Buffer;
}

export const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1');

/** `isspace` of C, and the zero byte. */
export const hasSpaces = (text: string): boolean => /[\0\t\n\v\f\r ]/.test(text);

/** See the top of the file. */
export class Selector {
  private readonly commands: RuleCommands;
  private allKeys = false;
  private allChannels: boolean;
  private allCommands = false;
  /** One a command, and one behind them for those that there are not yet. */
  private readonly bits: Uint8Array;
  private readonly keyPatterns: KeyPattern[] = [];
  private readonly channelPatterns: ChannelPattern[] = [];
  /** First arguments with which a command is permitted that is not as such, by the command's bit. */
  private readonly firstArguments = new Map<number, string[]>();

  /** @param allChannels the setting acl-pubsub-default */
  constructor(commands: RuleCommands, allChannels: boolean) {
    this.commands = commands;
    this.bits = new Uint8Array(commands.size + 1);
    this.allChannels = allChannels;
  }

  copy(): Selector {
    const copy = new Selector(this.commands, this.allChannels);
    copy.allKeys = this.allKeys;
    copy.allCommands = this.allCommands;
    copy.bits.set(this.bits);
    copy.keyPatterns.push(...this.keyPatterns.map((pattern) => ({ ...pattern })));
    copy.channelPatterns.push(...this.channelPatterns);
    for (const [id, words] of this.firstArguments) copy.firstArguments.set(id, [...words]);
    return copy;
  }

  /** Everything is permitted. */
  get isUnlimited(): boolean {
    return this.allCommands && this.allKeys && this.allChannels;
  }

  /** Takes a rule. @throws ModifierError */
  apply(rule: string): void {
    const word = rule.toLowerCase();
    if (word === 'allkeys' || rule === '~*') this.setKeys(true);
    else if (word === 'resetkeys') this.setKeys(false);
    else if (word === 'allchannels' || rule === '&*') this.setChannels(true);
    else if (word === 'resetchannels') this.setChannels(false);
    else if (word === 'allcommands' || word === '+@all') this.setCommands(true);
    else if (word === 'nocommands' || word === '-@all') this.setCommands(false);
    else if (rule.startsWith('~')) this.addKeys(rule.slice(1), true, true);
    else if (rule.startsWith('%')) this.addKeysOf(rule.slice(1));
    else if (rule.startsWith('&')) this.addChannels(rule.slice(1));
    else if (rule.startsWith('+@') || rule.startsWith('-@')) this.permitCategory(rule.slice(2), rule[0] === '+');
    else if (rule.startsWith('+')) this.permit(rule.slice(1));
    else if (rule.startsWith('-')) this.permitAs(this.named(rule.slice(1)), false);
    else throw new ModifierError('syntax');
  }

  private setKeys(all: boolean): void {
    this.allKeys = all;
    this.keyPatterns.length = 0;
  }

  private setChannels(all: boolean): void {
    this.allChannels = all;
    this.channelPatterns.length = 0;
  }

  private setCommands(all: boolean): void {
    this.allCommands = all;
    this.bits.fill(all ? 1 : 0);
    this.firstArguments.clear();
  }

  /** `R~`, `W~`, `RW~` and the pattern; without a `~` there is no pattern, as in Redis. */
  private addKeysOf(rule: string): void {
    if (this.allKeys) throw new ModifierError('keysAfterAll');
    let reads = false;
    let writes = false;
    for (let at = 0; at < rule.length; at++) {
      const letter = rule[at]!.toUpperCase();
      if (letter === 'R' && !reads) reads = true;
      else if (letter === 'W' && !writes) writes = true;
      else if (letter === '~' && (reads || writes)) {
        this.addKeys(rule.slice(at + 1), reads, writes);
        return;
      } else throw new ModifierError('syntax');
    }
    if (!reads && !writes) throw new ModifierError('syntax');
    this.addKeys('', reads, writes);
  }

  private addKeys(text: string, reads: boolean, writes: boolean): void {
    if (this.allKeys) throw new ModifierError('keysAfterAll');
    if (hasSpaces(text)) throw new ModifierError('syntax');
    const known = this.keyPatterns.find((pattern) => pattern.text === text);
    if (known === undefined) {
      this.keyPatterns.push({ text, bytes: bytesOf(text), reads, writes });
    } else {
      known.reads ||= reads;
      known.writes ||= writes;
    }
  }

  private addChannels(text: string): void {
    if (this.allChannels) throw new ModifierError('channelsAfterAll');
    if (hasSpaces(text)) throw new ModifierError('syntax');
    if (this.channelPatterns.some((pattern) => pattern.text === text)) return;
    this.channelPatterns.push({ text, bytes: bytesOf(text) });
  }

  private named(name: string): RuleCommand {
    const command = this.commands.find(name);
    if (command === undefined) throw new ModifierError('unknownCommand');
    return command;
  }

  /** `get`, `config|get`, or `select|0`: a command with a first argument. */
  private permit(name: string): void {
    const bar = name.lastIndexOf('|');
    if (bar < 0) {
      this.permitAs(this.named(name), true);
      return;
    }
    const command = this.named(name.slice(0, bar));
    const word = name.slice(bar + 1);
    if (command.isSubcommand) throw new ModifierError('firstArgumentOfSubcommand');
    if (word === '') throw new ModifierError('syntax');
    if (command.subcommands !== undefined) {
      this.permitAs(this.named(name), true);
      return;
    }
    const words = this.firstArguments.get(command.id) ?? [];
    if (!words.some((known) => known.toLowerCase() === word.toLowerCase())) words.push(word);
    this.firstArguments.set(command.id, words);
  }

  private permitCategory(name: string, isPermitted: boolean): void {
    const commands = this.commands.ofCategory(name);
    if (commands === undefined) throw new ModifierError('unknownCommand');
    for (const command of commands) this.permitAs(command, isPermitted);
  }

  /** A command with all its subcommands, and without first arguments. */
  private permitAs(command: RuleCommand, isPermitted: boolean): void {
    for (const each of [command, ...(command.subcommands ?? [])]) {
      this.bits[each.id] = isPermitted ? 1 : 0;
      this.firstArguments.delete(each.id);
    }
    if (!isPermitted) this.allCommands = false;
  }

  /** Whether a command is permitted, keys and channels aside. @param args of the call, with the command's name */
  permitsCommand(command: RuleCommand, args: readonly Buffer[]): boolean {
    if (this.allCommands || this.bits[command.id] === 1) return true;
    const word = args[command.isSubcommand ? 2 : 1];
    if (word === undefined) return false;
    const given = word.toString('latin1').toLowerCase();
    return this.firstArguments.get(command.id)?.some((known) => known.toLowerCase() === given) === true;
  }

  get permitsAllKeys(): boolean {
    return this.allKeys;
  }

  /** Keys may be read that nobody has named. */
  get permitsReadingAnyKey(): boolean {
    return this.allKeys || this.keyPatterns.some(({ text, reads }) => reads && text === '*');
  }

  get permitsAllChannels(): boolean {
    return this.allChannels;
  }

  permitsKey(key: Buffer, { reads, writes }: KeyUse): boolean {
    return (
      this.allKeys ||
      this.keyPatterns.some(
        (pattern) => (pattern.reads || !reads) && (pattern.writes || !writes) && globMatches(pattern.bytes, key),
      )
    );
  }

  /** @param isPattern of a subscription to a pattern: it is permitted as it was given, not by what it matches */
  permitsChannel(channel: Buffer, isPattern: boolean): boolean {
    return (
      this.allChannels ||
      this.channelPatterns.some(({ bytes }) => (isPattern ? bytes.equals(channel) : globMatches(bytes, channel)))
    );
  }

  keyRules(): string[] {
    if (this.allKeys) return ['~*'];
    return this.keyPatterns.map(({ text, reads, writes }) => `${reads && writes ? '~' : reads ? '%R~' : '%W~'}${text}`);
  }

  channelRules(): string[] {
    return this.allChannels ? ['&*'] : this.channelPatterns.map(({ text }) => `&${text}`);
  }

  /** The rules that make this selector of a new one. */
  rules(): string[] {
    return [
      ...this.keyRules(),
      ...(this.allChannels ? ['&*'] : ['resetchannels', ...this.channelRules()]),
      ...this.commandRules(),
    ];
  }

  /**
   * The rules that lead to this set of commands: all or nothing first, then the categories that come nearest, each time the one with the fewest
   * exceptions, then single commands. So does Redis.
   */
  commandRules(): string[] {
    const isWhole = this.bits[this.commands.size] === 1;
    const made = new Selector(this.commands, false);
    const left = this.copy();
    const rules: string[] = [];
    const use = (rule: string): void => {
      made.apply(rule);
      rules.push(rule);
    };
    use(isWhole ? '+@all' : '-@all');
    const [sign, opposite] = isWhole ? ['-', '+'] : ['+', '-'];
    const applied = new Set<string>();
    for (;;) {
      const best = left.nearestCategory(applied, isWhole);
      if (best === undefined) break;
      use(`${sign}@${best}`);
      left.apply(`${opposite}@${best}`);
      applied.add(best);
    }
    for (const top of this.commands.tops) {
      for (const command of [top, ...(top.subcommands ?? [])]) {
        const { id, fullName } = command;
        const isPermitted = this.bits[id] === 1;
        if (isPermitted !== (made.bits[id] === 1)) {
          rules.push(`${isPermitted ? '+' : '-'}${fullName}`);
          made.permitAs(command, isPermitted);
        }
        if (!isPermitted) for (const word of this.firstArguments.get(id) ?? []) rules.push(`+${fullName}|${word}`);
      }
    }
    return rules;
  }

  private nearestCategory(applied: ReadonlySet<string>, isWhole: boolean): string | undefined {
    let best: string | undefined;
    let fewest = Number.POSITIVE_INFINITY;
    let most = 0;
    for (const category of CATEGORIES) {
      if (applied.has(category)) continue;
      let on = 0;
      let off = 0;
      for (const { id, categories, isCounted } of this.commands.all) {
        if (!isCounted || !categories.has(category)) continue;
        if (this.bits[id] === 1) on++;
        else off++;
      }
      const [same, different] = isWhole ? [off, on] : [on, off];
      if (same > different && (different < fewest || (different === fewest && same > most))) {
        best = category;
        fewest = different;
        most = same;
      }
    }
    return best;
  }
}
