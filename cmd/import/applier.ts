/**
 * Carries out the commands of a source, each once: those of a batch are a transaction, together with the place up to which they reach. Whoever does
 * not know whether a batch took effect looks at the place.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type CommandLine, Lane, ServerError } from '../redis/index.ts';
import type { ReplicationPlace, SourceCommand } from './replica.ts';
import { keyText, type Tally } from './tally.ts';
import { answersOf, ask, isPassing, SETTLE_MS, untilTaken, type WriterOptions } from './writer.ts';

/** Where the place is kept, with the database that commands are for. */
export const PLACE_KEY = 'kvorum:import:place';
export const PLACE_DATABASE = 15;
/** A transaction over groups takes its time, however little is in it. */
const BATCH_COMMANDS = 1_000;
const BATCH_BYTES = 1024 ** 2;

/** Commands without an effect on data. */
const SILENT = new Set(['ping', 'replconf', 'publish', 'spublish']);
/** What cannot be in a transaction, or takes the place along. */
const ALONE = new Set(['flushall', 'flushdb', 'swapdb', 'function', 'script']);

/** A command, and the database that it is for. */
interface Piece {
  readonly database: number;
  readonly args: readonly Buffer[];
}

/** What is carried out together: a command, or a transaction. */
interface Unit {
  readonly pieces: readonly Piece[];
  /** Of the byte behind it. */
  readonly end: number;
}

/** What stands in the cluster about the place. */
export interface StoredPlace extends ReplicationPlace {
  readonly database: number;
}

/** Reads the place that an import before has reached. @throws ServerError, GaveUpError */
export async function storedPlace(options: WriterOptions): Promise<StoredPlace | undefined> {
  const lane = new Lane(options, 0);
  try {
    const [text] = await ask(lane, options.giveUpMs, PLACE_DATABASE, [['GET', PLACE_KEY]]);
    if (!Buffer.isBuffer(text)) return undefined;
    const [id, offset, database] = text.toString().split(' ');
    return { id: id!, offset: Number(offset), database: Number(database) };
  } finally {
    lane.close();
  }
}

/** Removes the place: nobody goes on from there. @throws ServerError, GaveUpError */
export async function forgetPlace(options: WriterOptions): Promise<void> {
  const lane = new Lane(options, 0);
  try {
    await ask(lane, options.giveUpMs, PLACE_DATABASE, [['DEL', PLACE_KEY]]);
  } finally {
    lane.close();
  }
}

export class Applier {
  private readonly lane: Lane;
  private readonly options: WriterOptions;
  private readonly tally: Tally;
  private readonly onPlace: (offset: number) => void;
  private readonly id: string;
  private database: number;
  private offset: number;
  private batch: Unit[] = [];
  private batchCommands = 0;
  private batchBytes = 0;
  private transaction: Piece[] | undefined;
  /** Of the byte behind the last command without an effect. */
  private passed = 0;

  /** @param onPlace is told up to where commands are in the cluster */
  constructor(options: WriterOptions, tally: Tally, place: StoredPlace, onPlace: (offset: number) => void) {
    this.options = options;
    this.tally = tally;
    this.onPlace = onPlace;
    this.lane = new Lane(options, 0);
    this.id = place.id;
    this.offset = place.offset;
    this.database = place.database;
  }

  /** Bytes of commands that are in the cluster. */
  get reached(): number {
    return this.offset;
  }

  /** Writes the place without any command: where a copy of everything ends. @throws GaveUpError, ServerError */
  async start(): Promise<void> {
    await this.certain([this.placeCommand(this.offset)]);
    this.onPlace(this.offset);
  }

  /** Takes the next command. It is carried out before long, at `flush` at the latest. @throws GaveUpError */
  async take({ args, offset }: SourceCommand): Promise<void> {
    const name = args[0]!.toString('latin1').toLowerCase();
    if (name === 'select') {
      this.database = Number(args[1]!.toString());
      this.pass(offset);
    } else if (name === 'multi') this.transaction = [];
    else if (name === 'exec') {
      const pieces = this.transaction ?? [];
      this.transaction = undefined;
      await this.add({ pieces, end: offset });
    } else if (SILENT.has(name)) this.pass(offset);
    else if (this.transaction !== undefined) this.transaction.push({ database: this.database, args });
    else await this.add({ pieces: [{ database: this.database, args }], end: offset });
  }

  /** Carries out what was taken. @throws GaveUpError */
  async flush(): Promise<void> {
    const units = this.batch;
    this.batch = [];
    this.batchCommands = 0;
    this.batchBytes = 0;
    if (units.length === 0) return;
    await this.apply(units);
    if (this.passed > this.offset) this.reach(this.passed);
  }

  close(): void {
    this.lane.close();
  }

  /** A command without an effect: the place moves with it when nothing is in front. */
  private pass(offset: number): void {
    if (this.transaction !== undefined) return;
    this.passed = offset;
    if (this.batch.length === 0) this.reach(offset);
  }

  private reach(offset: number): void {
    this.offset = offset;
    this.onPlace(offset);
  }

  private async add(unit: Unit): Promise<void> {
    const isAlone = unit.pieces.some(({ args }) => ALONE.has(args[0]!.toString('latin1').toLowerCase()));
    if (isAlone) await this.flush();
    this.batch.push(unit);
    this.batchCommands += unit.pieces.length;
    for (const { args } of unit.pieces) for (const arg of args) this.batchBytes += arg.length;
    if (isAlone) {
      this.batch = [];
      this.batchCommands = 0;
      this.batchBytes = 0;
      await this.oneByOne(unit);
    } else if (this.batchCommands >= BATCH_COMMANDS || this.batchBytes >= BATCH_BYTES) await this.flush();
  }

  /** Carries units out, each once. */
  private async apply(units: readonly Unit[]): Promise<void> {
    const end = units.at(-1)!.end;
    const outcome = await this.transact(
      units.flatMap(({ pieces }) => pieces),
      end,
    );
    if (outcome instanceof ServerError) {
      // Too much for a transaction: less at a time, down to a command that stands alone.
      const half = units.length >> 1;
      if (half === 0) await this.oneByOne(units[0]!);
      else {
        await this.apply(units.slice(0, half));
        await this.apply(units.slice(half));
      }
      return;
    }
    this.reach(end);
  }

  /**
   * Carries commands out and moves the place, or does nothing.
   * @returns why the cluster does not take them
   */
  private transact(pieces: readonly Piece[], end: number): Promise<ServerError | undefined> {
    const commands: CommandLine[] = [['MULTI']];
    let database = PLACE_DATABASE;
    const inside: boolean[] = [];
    for (const piece of pieces) {
      if (piece.database !== database) {
        database = piece.database;
        commands.push(['SELECT', database]);
        inside.push(false);
      }
      commands.push(piece.args);
      inside.push(true);
    }
    commands.push(['SELECT', PLACE_DATABASE], this.placeCommand(end), ['EXEC']);
    let isOpen = false;
    return untilTaken(this.options.giveUpMs, async () => {
      if (isOpen && (await this.isAt(end))) {
        this.tally.commands += pieces.length;
        return undefined;
      }
      isOpen = true;
      const answers = await this.lane.send(PLACE_DATABASE, commands);
      const outcome = answers.at(-1);
      const refusal = answers.find((answer) => answer instanceof ServerError) as ServerError | undefined;
      if (refusal !== undefined) {
        isOpen = refusal.code === 'UNKNOWN';
        if (isPassing(refusal)) throw refusal;
        return refusal;
      }
      this.noteErrors(
        pieces,
        (outcome as readonly unknown[]).filter((_, at) => inside[at] === true),
      );
      return undefined;
    });
  }

  private noteErrors(pieces: readonly Piece[], answers: readonly unknown[]): void {
    this.tally.commands += pieces.length;
    for (const [at, answer] of answers.entries()) if (answer instanceof ServerError) this.refuse(pieces[at]!, answer);
  }

  private refuse({ database, args }: Piece, { message }: ServerError): void {
    const key = args[1] ?? Buffer.alloc(0);
    this.tally.refuse(`${args[0]!.toString('latin1').toUpperCase()} ${keyText(database, key)}`, message);
  }

  /** Whether the cluster is at this place already. */
  private async isAt(end: number): Promise<boolean> {
    await delay(SETTLE_MS);
    const [text] = await answersOf(this.lane, PLACE_DATABASE, [['GET', PLACE_KEY]]);
    return Buffer.isBuffer(text) && Number(text.toString().split(' ')[1]) >= end;
  }

  /** Commands that cannot be with others: each may be carried out twice when its outcome is not known, which is noted. */
  private async oneByOne({ pieces, end }: Unit): Promise<void> {
    for (const piece of pieces) {
      let tries = 0;
      const answer = await untilTaken(this.options.giveUpMs, async () => {
        tries += 1;
        const [reply] = await answersOf(this.lane, piece.database, [piece.args]);
        return reply;
      });
      this.tally.commands += 1;
      if (answer instanceof ServerError) this.refuse(piece, answer);
      else if (tries > 1) this.tally.repeated.push(keyText(piece.database, piece.args[1] ?? Buffer.alloc(0)));
    }
    await this.certain([this.placeCommand(end)]);
    this.reach(end);
  }

  private placeCommand(offset: number): CommandLine {
    return ['SET', PLACE_KEY, `${this.id} ${offset} ${this.database}`];
  }

  private async certain(commands: readonly CommandLine[]): Promise<void> {
    await ask(this.lane, this.options.giveUpMs, PLACE_DATABASE, commands);
  }
}
