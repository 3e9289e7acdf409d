/** Distances on a sphere, and the units that commands know. */
import { errors, fixedText, optionName, parseDouble, RedisError, type Reply } from '../../protocol/index.ts';
import { type Position, WORLD } from './cells.ts';
import { roundedArcSine, roundedCosine, roundedSine } from './rounded-trigonometry.ts';

/** The quadratic mean radius of the earth, meters. */
const EARTH_RADIUS_METERS = 6372797.560856;
const RADIANS_A_DEGREE = Math.PI / 180;

export const radians = (degrees: number): number => degrees * RADIANS_A_DEGREE;

/** The angle at the earth's middle over a distance, degrees. */
export const degreesOver = (meters: number): number => meters / EARTH_RADIUS_METERS / RADIANS_A_DEGREE;

/** Meters between two latitudes on one meridian. */
export const latitudeMeters = (from: number, to: number): number =>
  EARTH_RADIUS_METERS * Math.abs(radians(to) - radians(from));

/** Sine, cosine and arc sine of an accuracy. */
interface Trigonometry {
  readonly sine: (angle: number) => number;
  readonly cosine: (angle: number) => number;
  readonly arcSine: (sine: number) => number;
}

const ROUNDED: Trigonometry = { sine: roundedSine, cosine: roundedCosine, arcSine: roundedArcSine };
const ROUGH: Trigonometry = { sine: Math.sin, cosine: Math.cos, arcSine: Math.asin };
/** A rough distance is off by less than this part of it, which is some meters on the earth's other side, where it is off most; or by micrometers. */
const ROUGHNESS = 1e-6;

/** Meters between two positions, by the haversine formula. */
function haversine(from: Position, to: Position, { sine, cosine, arcSine }: Trigonometry): number {
  const across = sine((radians(to.longitude) - radians(from.longitude)) / 2);
  if (across === 0) return latitudeMeters(from.latitude, to.latitude);
  const [fromLatitude, toLatitude] = [radians(from.latitude), radians(to.latitude)];
  const along = sine((toLatitude - fromLatitude) / 2);
  const squared = along * along + cosine(fromLatitude) * cosine(toLatitude) * across * across;
  return 2 * EARTH_RADIUS_METERS * arcSine(Math.min(1, Math.sqrt(squared)));
}

/** Meters between two positions. */
export const meters = (from: Position, to: Position): number => haversine(from, to, ROUNDED);

/** Meters between two positions that are not farther apart than `most`; undefined for others, most of which are told without working it out in full. */
export function metersUpTo(most: number, from: Position, to: Position): number | undefined {
  const rough = haversine(from, to, ROUGH);
  if (rough > most + (most + EARTH_RADIUS_METERS * ROUGHNESS) * ROUGHNESS) return undefined;
  const distance = meters(from, to);
  return distance > most ? undefined : distance;
}

const METERS: Readonly<Record<string, number>> = { M: 1, KM: 1000, FT: 0.3048, MI: 1609.34 };

/** Meters of a unit. @throws RedisError */
export function unitMeters(argument: Buffer): number {
  const unit = METERS[optionName(argument)];
  if (unit === undefined) throw new RedisError('ERR unsupported unit provided. please use M, KM, FT, MI');
  return unit;
}

/** A distance as it is answered: with four decimals. */
export const distanceReply = (distance: number): Reply => fixedText(distance, 4);

/** Longitude and latitude at an index and behind it. @throws RedisError */
export function positionArgument(args: readonly Buffer[], at: number): Position {
  const [longitude, latitude] = [parseDouble(args[at]!), parseDouble(args[at + 1]!)];
  if (longitude === undefined || latitude === undefined) throw errors.notFloat();
  const isInside =
    longitude >= WORLD.west && longitude <= WORLD.east && latitude >= WORLD.south && latitude <= WORLD.north;
  if (isInside) return { longitude, latitude };
  const pair = [longitude, latitude].map((degrees) => fixedText(degrees, 6)).join(',');
  throw new RedisError(`ERR invalid longitude,latitude pair ${pair}`);
}
