/** Commands on positions. */
import fc from 'fast-check';
import type { CommandLine } from '../resp-connection.ts';
import type { SequenceGroup } from './group.ts';
import { badFloat, bulk, command, key, one, type Words, withOptions, words } from './words.ts';

/** Members, each at a place of its own or somewhere else. */
const member = fc.constantFrom('Palermo', 'Catania', 'a', 'b', 'c', 'n0', 'n3', 'n77', 'e'.repeat(65));
const longitude = fc.oneof(
  { weight: 4, arbitrary: fc.double({ min: -180, max: 180, noNaN: true }).map(String) },
  { weight: 2, arbitrary: fc.constantFrom('13.361389', '15.087269', '-122.27652', '0', '179.9999', '-180', '180') },
);
const latitude = fc.oneof(
  { weight: 4, arbitrary: fc.double({ min: -85.05112878, max: 85.05112878, noNaN: true }).map(String) },
  {
    weight: 2,
    arbitrary: fc.constantFrom('38.115556', '37.502669', '37.8', '0', '84.9', '-85.05112878', '85.05112878'),
  },
);
const longitudeOrNot = fc.oneof(
  { weight: 30, arbitrary: longitude },
  { weight: 1, arbitrary: fc.oneof(badFloat, fc.constantFrom('180.0001', '-181', '1e30', '1e300')) },
);
const latitudeOrNot = fc.oneof(
  { weight: 30, arbitrary: latitude },
  { weight: 1, arbitrary: fc.oneof(badFloat, fc.constantFrom('85.06', '-90', '1e22')) },
);
const place = words(longitudeOrNot, latitudeOrNot, member);
const unit = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom('m', 'km', 'mi', 'ft', 'KM', 'M', 'km') },
  { weight: 1, arbitrary: fc.constantFrom('', 'meter', 'x') },
);
const length = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('0', '1', '100', '500', '1000', '5000', '20000', '1e5', '0.5', '3.7e6') },
  { weight: 2, arbitrary: fc.double({ min: 0, max: 30_000, noNaN: true }).map(String) },
  { weight: 1, arbitrary: fc.oneof(badFloat, fc.constantFrom('-1', '-0')) },
);
const result = fc.constantFrom('stored', 'distances', 'a');
const addOption = one('NX', 'XX', 'CH', 'ch', 'junk');
const howMany = words(fc.constantFrom('COUNT', 'count'), fc.constantFrom('1', '2', '3', '100', '1', '0', '-1', 'x'));
const shown = one('WITHDIST', 'WITHCOORD', 'WITHHASH', 'withdist', 'WithCoord');
const order = one('ASC', 'DESC', 'asc', 'desc');
const anyOf = words(fc.constant('COUNT'), fc.constantFrom('1', '2', '5'), fc.constantFrom('ANY', 'any'));
const option = fc.oneof(shown, shown, order, howMany, anyOf, one('ANY', 'COUNT', 'junk', 'STORE'));
const kept = words(fc.constantFrom('STORE', 'store'), fc.constantFrom('stored', 'a'));
const keptDistances = words(fc.constantFrom('STOREDIST', 'storedist'), fc.constant('distances'));
const radiusOption = fc.oneof({ weight: 3, arbitrary: option }, kept, keptDistances);
const joined = (...parts: Words[]): Words => fc.tuple(...parts).map((all) => all.flat());
const middle = fc.oneof(
  words(fc.constantFrom('FROMMEMBER', 'frommember'), member),
  words(fc.constantFrom('FROMLONLAT', 'fromlonlat'), longitudeOrNot, latitudeOrNot),
);
const shape = fc.oneof(
  words(fc.constantFrom('BYRADIUS', 'byradius'), length, unit),
  words(fc.constantFrom('BYBOX', 'bybox'), length, length, unit),
);
/** Now and then both ways to say it, or one of them twice. */
const area = fc.oneof(
  { weight: 12, arbitrary: joined(middle, shape) },
  { weight: 2, arbitrary: joined(shape, middle) },
  { weight: 1, arbitrary: joined(middle, middle, shape) },
  { weight: 1, arbitrary: joined(middle, shape, shape) },
);
/** All over the map, and no two at one distance from anywhere. */
const scattered = (nth: number): string[] => [
  String(((nth * 67.1234567) % 360) - 180),
  String(((nth * 41.7654321) % 170) - 85),
  `n${nth}`,
];
/** Scores that are no positions: they are taken for some all the same. */
const strangeScore = fc.constantFrom(
  ...['-1', '1.5', 'inf', '-inf', '1e300', '-1e300', '9007199254740993', '18446744073709551615', '4503599627370496'],
);

const geoCommands: Words[] = [
  withOptions(command('GEOADD', key, longitudeOrNot, latitudeOrNot, member), place, 3),
  withOptions(command('GEOADD', key, longitudeOrNot, latitudeOrNot, member), place, 3),
  joined(withOptions(command('GEOADD', key), addOption, 2), place),
  bulk(command('GEOADD', key), scattered, 10, 40, 130),
  bulk(command('GEOADD', key), scattered, 200),
  command('ZADD', key, strangeScore, member),
  withOptions(command('GEOPOS', key, member), words(member), 3),
  withOptions(command('GEOHASH', key, member), words(member), 3),
  withOptions(command('GEODIST', key, member, member), words(unit), 1),
  withOptions(joined(command('GEOSEARCH', key), area), option, 3),
  withOptions(joined(command('GEOSEARCH', key), area), option, 3),
  withOptions(joined(command('GEOSEARCH', key), area), option, 3),
  withOptions(joined(command('GEOSEARCHSTORE', result, key), area), fc.oneof(order, howMany, anyOf, shown), 2),
  withOptions(joined(command('GEOSEARCHSTORE', fc.constant('distances'), key), area, one('STOREDIST')), order, 1),
  withOptions(command('GEORADIUS', key, longitudeOrNot, latitudeOrNot, length, unit), radiusOption, 3),
  withOptions(command('GEORADIUS_RO', key, longitudeOrNot, latitudeOrNot, length, unit), radiusOption, 2),
  withOptions(command('GEORADIUSBYMEMBER', key, member, length, unit), radiusOption, 3),
  withOptions(command('GEORADIUSBYMEMBER_RO', key, member, length, unit), radiusOption, 2),
  words(fc.constant('ZRANGE'), fc.oneof(key, result), ...['0', '-1', 'WITHSCORES'].map((word) => fc.constant(word))),
];

/** Distances are compared where they are kept, in a key that nobody else writes. */
function isComparable([name = '', key]: CommandLine): boolean {
  return key !== 'distances' || /^(ZRANGE|GEOSEARCHSTORE)$/i.test(name);
}

export const geoGroup: SequenceGroup = { name: 'geo', commands: geoCommands, isComparable };
