/** Runs a sequence on two servers and finds the first reply in which they differ. */
import { AgreementOnConnection, SequenceFacts } from './agreement.ts';
import { type CommandLine, type RawReply, RespConnection } from './resp-connection.ts';
import type { Step } from './sequences/index.ts';
import type { Target } from './targets.ts';

/** Two connections to one server. */
interface Side {
  readonly target: Target;
  readonly connections: readonly [RespConnection, RespConnection];
}

export class Comparison {
  private readonly reference: Side;
  private readonly tested: Side;

  private constructor(reference: Side, tested: Side) {
    this.reference = reference;
    this.tested = tested;
  }

  static async open(reference: Target, tested: Target): Promise<Comparison> {
    return new Comparison(await openSide(reference), await openSide(tested));
  }

  close(): void {
    for (const side of [this.reference, this.tested]) for (const connection of side.connections) connection.close();
  }

  /**
   * Runs the steps from an empty server on, both connections speaking `resp`.
   * @param config set before, by name
   * @returns what differs and after which steps, or undefined
   */
  async firstDifference(
    steps: readonly Step[],
    resp: 2 | 3,
    config: Readonly<Record<string, string>> = {},
  ): Promise<string | undefined> {
    const configure: CommandLine[] = Object.entries(config).map(([name, value]) => ['CONFIG', 'SET', name, value]);
    const start: CommandLine[] = [['RESET'], ['FLUSHALL'], ['HELLO', String(resp)], ...configure];
    for (const on of [0, 1] as const) {
      await Promise.all([this.reference, this.tested].map((side) => side.connections[on].call(start)));
    }
    const facts = new SequenceFacts();
    const agreement = [new AgreementOnConnection(facts), new AgreementOnConnection(facts)] as const;
    for (let from = 0; from < steps.length; ) {
      const { on } = steps[from]!;
      const commands = pipelineFrom(steps, from);
      if (commands.length === 0) {
        const difference = await this.specialDifference(steps[from]!);
        if (difference !== undefined) return `${story(steps, from)}\n${difference}`;
        from++;
        continue;
      }
      if (readsErrno(commands[0]!)) await clearErrno(this.reference.target);
      const [expected, actual] = await Promise.all([
        this.reference.connections[on].call(commands),
        this.tested.connections[on].call(commands),
      ]);
      for (const [index, command] of commands.entries()) {
        if (!agreement[on].next(command, expected[index]!, actual[index]!)) {
          const replies = `redis:  ${shown(expected[index]!)}\nkvorum: ${shown(actual[index]!)}`;
          return `${story(steps, from + index)}\n${replies}`;
        }
      }
      from += commands.length;
    }
    return undefined;
  }

  private async specialDifference(step: Step): Promise<string | undefined> {
    const [reference, tested] = [this.reference.connections[step.on], this.tested.connections[step.on]];
    const run =
      'scan' in step
        ? (connection: RespConnection) => found(connection, step.scan, step.options)
        : (connection: RespConnection) => poppedAndPutBack(connection, (step as { pop: CommandLine }).pop);
    const [expected, actual] = await Promise.all([run(reference), run(tested)]);
    return expected === actual ? undefined : `redis:  ${expected}\nkvorum: ${actual}`;
  }
}

async function openSide(target: Target): Promise<Side> {
  const { host, port } = target;
  return { target, connections: [await RespConnection.open(host, port), await RespConnection.open(host, port)] };
}

/** Redis' SORT takes for a number out of range what any command before it, of any client, has left in C's `errno`. */
const readsErrno = ([name = '']: CommandLine): boolean => /^(sort|sort_ro|exec)$/i.test(name);

/** Taking in a client leaves in `errno` that there is no other. */
async function clearErrno({ host, port }: Target): Promise<void> {
  const connection = await RespConnection.open(host, port);
  await connection.call([['PING']]);
  connection.abort();
}

/**
 * The commands from a step on that can go out in one pipeline: those of the same connection, up to the next step of another kind, or one that
 * has to be the first.
 */
function pipelineFrom(steps: readonly Step[], from: number): CommandLine[] {
  const commands: CommandLine[] = [];
  for (const step of steps.slice(from)) {
    if (step.on !== steps[from]!.on || !('command' in step)) break;
    if (commands.length > 0 && readsErrno(step.command)) break;
    commands.push(step.command);
  }
  return commands;
}

/** Iterations that answer what they find in pairs. */
const IN_PAIRS = new Set(['HSCAN', 'ZSCAN']);

/** What a whole iteration finds, as text; or the error that ends it. */
async function found(connection: RespConnection, head: CommandLine, options: CommandLine): Promise<string> {
  const results = new Set<string>();
  const size = IN_PAIRS.has(head[0]!.toUpperCase()) ? 2 : 1;
  let cursor = '0';
  do {
    const [reply] = await connection.call([[...head, cursor, ...options]]);
    if (reply?.items === undefined) return shown(reply!);
    cursor = reply.items[0]!.text!;
    const items = reply.items[1]!.items!;
    for (let at = 0; at < items.length; at += size) {
      const together = items.slice(at, at + size);
      results.add(together.map(({ raw }) => raw).join(''));
    }
  } while (cursor !== '0');
  return [...results].sort().join(' ');
}

/**
 * Runs a command that removes members which the server chooses, and adds them again unless nothing is left, so that both servers go on
 * with the same set. @returns what must be the same on both: how many distinct members it took, all of them members; or the whole reply
 */
async function poppedAndPutBack(connection: RespConnection, pop: CommandLine): Promise<string> {
  const [, key = ''] = pop;
  const [members, reply] = await connection.call([['SMEMBERS', key], pop]);
  if (members?.items === undefined) return shown(reply!);
  const before = new Set(members.items.map(({ raw }) => raw));
  const taken = reply!.items ?? (reply!.text !== undefined && reply!.kind === '$' ? [reply!] : []);
  if (taken.length === 0) return shown(reply!);
  const distinct = new Set(taken.map(({ raw }) => raw));
  if (distinct.size < before.size) await connection.call([['SADD', key, ...taken.map(({ text }) => text!)]]);
  const strangers = [...distinct].filter((raw) => !before.has(raw));
  return `${reply!.kind} ${taken.length} distinct ${distinct.size} of ${before.size} strangers ${strangers.length}`;
}

const shown = ({ raw }: RawReply): string => JSON.stringify(raw);

/** The steps up to the one that differs, one a line. */
const story = (steps: readonly Step[], last: number): string =>
  steps
    .slice(0, last + 1)
    .map((step) => `${step.on}> ${JSON.stringify(lineOf(step))}`)
    .join('\n');

function lineOf(step: Step): CommandLine {
  if ('command' in step) return step.command;
  return 'scan' in step ? [...step.scan, '0...', ...step.options] : step.pop;
}
