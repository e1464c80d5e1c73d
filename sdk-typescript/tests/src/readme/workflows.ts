/** The workflows of the README, where its programs look for them. */

export { greeting } from '../workflows/greeting';
