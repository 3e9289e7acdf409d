/** Runs a sequence on two servers and finds the first reply in which they differ. */
import { AgreementOnConnection } from './agreement.ts';
import { type CommandLine, type RawReply, RespConnection } from './resp-connection.ts';
import type { Step } from './sequences.ts';
import type { Target } from './targets.ts';

/** Two connections to one server. */
interface Side {
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
   * @returns what differs and after which steps, or undefined
   */
  async firstDifference(steps: readonly Step[], resp: 2 | 3): Promise<string | undefined> {
    const start: CommandLine[] = [['RESET'], ['FLUSHALL'], ['HELLO', String(resp)]];
    for (const on of [0, 1] as const) {
      await Promise.all([this.reference, this.tested].map((side) => side.connections[on].call(start)));
    }
    const agreement = [new AgreementOnConnection(), new AgreementOnConnection()] as const;
    for (let from = 0; from < steps.length; ) {
      const { on } = steps[from]!;
      const commands = pipelineFrom(steps, from);
      if (commands.length === 0) {
        const difference = await this.scanDifference(on, (steps[from] as { scan: CommandLine }).scan);
        if (difference !== undefined) return `${story(steps, from)}\n${difference}`;
        from++;
        continue;
      }
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

  /** Compares the keys of whole SCAN iterations. */
  private async scanDifference(on: 0 | 1, options: CommandLine): Promise<string | undefined> {
    const [expected, actual] = await Promise.all([
      scannedKeys(this.reference.connections[on], options),
      scannedKeys(this.tested.connections[on], options),
    ]);
    return expected === actual ? undefined : `redis:  ${expected}\nkvorum: ${actual}`;
  }
}

async function openSide({ host, port }: Target): Promise<Side> {
  return { connections: [await RespConnection.open(host, port), await RespConnection.open(host, port)] };
}

/** The commands from a step on that can go out in one pipeline: those of the same connection, up to the next scan. */
function pipelineFrom(steps: readonly Step[], from: number): CommandLine[] {
  const commands: CommandLine[] = [];
  for (const step of steps.slice(from)) {
    if (step.on !== steps[from]!.on || 'scan' in step) break;
    commands.push(step.command);
  }
  return commands;
}

async function scannedKeys(connection: RespConnection, options: CommandLine): Promise<string> {
  const keys = new Set<string>();
  let cursor = '0';
  do {
    const [reply] = await connection.call([['SCAN', cursor, ...options]]);
    if (reply?.items === undefined) return shown(reply!);
    cursor = reply.items[0]!.text!;
    for (const { raw } of reply.items[1]!.items!) keys.add(raw);
  } while (cursor !== '0');
  return [...keys].sort().join(' ');
}

const shown = ({ raw }: RawReply): string => JSON.stringify(raw);

/** The steps up to the one that differs, one a line. */
const story = (steps: readonly Step[], last: number): string =>
  steps
    .slice(0, last + 1)
    .map((step) => `${step.on}> ${JSON.stringify('scan' in step ? ['SCAN', ...step.scan] : step.command)}`)
    .join('\n');
