/** The arguments of GEOSEARCH, GEORADIUS and their kin, read in Redis' order. */
import type { OrderedBody } from '../../bodies/index.ts';
import { errors, integerArgument, optionName, parseDouble, RedisError } from '../../protocol/index.ts';
import { type Position, positionAt } from './cells.ts';
import { positionArgument, unitMeters } from './distance.ts';
import type { SearchArea } from './search-area.ts';

/** What a command's name says. */
export interface SearchForm {
  /** GEOSEARCH takes middle and shape as options; GEORADIUS takes a position, GEORADIUSBYMEMBER a member, and then a radius. */
  readonly by: 'options' | 'position' | 'member';
  /** Where the key of the set is among the arguments. */
  readonly keyAt: number;
  /** GEOSEARCHSTORE has the key for the result in front, GEORADIUS may have it among its options. */
  readonly store: 'first' | 'option' | 'never';
}

export interface SearchRequest {
  /** Undefined when there is no set to search. */
  readonly area: SearchArea | undefined;
  /** Meters of the unit that distances are answered in. */
  readonly unit: number;
  readonly order: 'near' | 'far' | undefined;
  /** Most positions; undefined is all. */
  readonly count: number | undefined;
  /** As soon as there are so many, the search ends. */
  readonly isAny: boolean;
  readonly withDistance: boolean;
  readonly withHash: boolean;
  readonly withPosition: boolean;
  readonly store: { readonly key: Buffer; readonly isDistance: boolean } | undefined;
}

/** A radius or the sides of a box, and their unit. */
interface Shape {
  readonly unit: number;
  readonly around: (middle: Position) => SearchArea;
}

/** A radius and its unit. @throws RedisError */
function circleArguments(args: readonly Buffer[], at: number): Shape {
  const radius = parseDouble(args[at]!);
  if (radius === undefined) throw new RedisError('ERR need numeric radius');
  if (radius < 0) throw new RedisError('ERR radius cannot be negative');
  const unit = unitMeters(args[at + 1]!);
  return { unit, around: (middle) => ({ middle, shape: 'circle', radius: radius * unit }) };
}

/** Width, height and their unit. @throws RedisError */
function boxArguments(args: readonly Buffer[], at: number): Shape {
  const width = parseDouble(args[at]!);
  if (width === undefined) throw new RedisError('ERR need numeric width');
  const height = parseDouble(args[at + 1]!);
  if (height === undefined) throw new RedisError('ERR need numeric height');
  if (width < 0 || height < 0) throw new RedisError('ERR height or width cannot be negative');
  const unit = unitMeters(args[at + 2]!);
  return { unit, around: (middle) => ({ middle, shape: 'box', width: width * unit, height: height * unit }) };
}

/** @throws RedisError when the set does not have it */
function memberPosition(set: OrderedBody, member: Buffer): Position {
  const score = set.score(member);
  if (score === undefined) throw new RedisError('ERR could not decode requested zset member');
  return positionAt(score);
}

/** Reads the options of one call, one after the other. */
class SearchOptions {
  private readonly args: readonly Buffer[];
  private readonly form: SearchForm;
  /** Undefined when the key does not exist. */
  private readonly set: OrderedBody | undefined;
  private middle: Position | undefined;
  private middleFrom: 'member' | 'position' | undefined;
  private shape: Shape | undefined;
  private shapeFrom: 'circle' | 'box' | undefined;
  private order: SearchRequest['order'];
  private count: number | undefined;
  private isAny = false;
  private withDistance = false;
  private withHash = false;
  private withPosition = false;
  private store: SearchRequest['store'];

  constructor(args: readonly Buffer[], form: SearchForm, set: OrderedBody) {
    this.args = args;
    this.form = form;
    this.set = set.size === 0 ? undefined : set;
    if (form.store === 'first') this.store = { key: args[1]!, isDistance: false };
  }

  read(): SearchRequest {
    for (let at = this.readFixed(); at < this.args.length; at++) {
      const name = optionName(this.args[at]!);
      const more = this.args.length - at - 1;
      const taken = this.readFlag(name)
        ? 0
        : (this.readValued(name, at + 1, more) ?? this.readShape(name, at + 1, more));
      if (taken === undefined) throw errors.syntax();
      at += taken;
    }
    this.check();
    const { set, middle, shape, order, count, isAny, withDistance, withHash, withPosition, store } = this;
    return {
      area: set === undefined ? undefined : shape!.around(middle!),
      unit: shape?.unit ?? 1,
      // Of all positions the nearest are wanted, unless any will do.
      order: order ?? (count !== undefined && !isAny ? 'near' : undefined),
      count,
      isAny,
      withDistance,
      withHash,
      withPosition,
      store,
    };
  }

  /** Middle and radius where they are no options. @returns where options begin */
  private readFixed(): number {
    const { args, form, set } = this;
    if (form.by === 'options') return form.keyAt + 1;
    const isPosition = form.by === 'position';
    const radiusAt = isPosition ? 4 : 3;
    // Without a set nobody looks at a member and the radius behind it.
    if (isPosition) this.middle = positionArgument(args, 2);
    else if (set !== undefined) this.middle = memberPosition(set, args[2]!);
    if (isPosition || set !== undefined) this.shape = circleArguments(args, radiusAt);
    return radiusAt + 2;
  }

  private readFlag(name: string): boolean {
    if (name === 'WITHDIST') this.withDistance = true;
    else if (name === 'WITHHASH') this.withHash = true;
    else if (name === 'WITHCOORD') this.withPosition = true;
    else if (name === 'ANY') this.isAny = true;
    else if (name === 'ASC') this.order = 'near';
    else if (name === 'DESC') this.order = 'far';
    else if (name === 'STOREDIST' && this.form.store === 'first') this.store = { key: this.args[1]!, isDistance: true };
    else return false;
    return true;
  }

  /** @returns how many arguments the option has; undefined when it is none of these */
  private readValued(name: string, at: number, more: number): number | undefined {
    if (name === 'COUNT' && more >= 1) {
      const count = integerArgument(this.args[at]!);
      if (count <= 0n) throw new RedisError('ERR COUNT must be > 0');
      this.count = Number(count);
      return 1;
    }
    if ((name === 'STORE' || name === 'STOREDIST') && more >= 1 && this.form.store === 'option') {
      this.store = { key: this.args[at]!, isDistance: name === 'STOREDIST' };
      return 1;
    }
    return undefined;
  }

  /** As `readValued`. */
  private readShape(name: string, at: number, more: number): number | undefined {
    const { args, form, set, middleFrom, shapeFrom } = this;
    if (form.by !== 'options') return undefined;
    if (name === 'FROMMEMBER' && more >= 1 && middleFrom !== 'position') {
      if (set !== undefined) this.middle = memberPosition(set, args[at]!);
      this.middleFrom = 'member';
      return 1;
    }
    if (name === 'FROMLONLAT' && more >= 2 && middleFrom !== 'member') {
      this.middle = positionArgument(args, at);
      this.middleFrom = 'position';
      return 2;
    }
    if (name === 'BYRADIUS' && more >= 2 && shapeFrom !== 'box') {
      this.shape = circleArguments(args, at);
      this.shapeFrom = 'circle';
      return 2;
    }
    if (name === 'BYBOX' && more >= 3 && shapeFrom !== 'circle') {
      this.shape = boxArguments(args, at);
      this.shapeFrom = 'box';
      return 3;
    }
    return undefined;
  }

  private check(): void {
    const { args, form, store, withDistance, withHash, withPosition } = this;
    if (store !== undefined && (withDistance || withHash || withPosition)) {
      const what = form.store === 'first' ? 'GEOSEARCHSTORE' : 'STORE option in GEORADIUS';
      throw new RedisError(`ERR ${what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options`);
    }
    const name = args[0]!.toString('latin1');
    if (form.by === 'options' && this.middleFrom === undefined)
      throw new RedisError(`ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ${name}`);
    if (form.by === 'options' && this.shapeFrom === undefined)
      throw new RedisError(`ERR exactly one of BYRADIUS and BYBOX can be specified for ${name}`);
    if (this.isAny && this.count === undefined) throw new RedisError('ERR the ANY argument requires COUNT argument');
  }
}

/** @throws RedisError */
export const parseSearch = (args: readonly Buffer[], form: SearchForm, set: OrderedBody): SearchRequest =>
  new SearchOptions(args, form, set).read();
