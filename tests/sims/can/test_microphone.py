"""The contact microphone: heard where things touch, the same again, and no effect on what it listens to."""

import numpy as np
import pytest

from worldmodel.schema import AUDIO, AUDIO_HZ, CONTROL_HZ
from worldmodel.sims.can import RobotEnv, make
from worldmodel.sims.can.expert import Expert, Phase
from worldmodel.sims.can.microphone import BANKS, SURFACES, Microphone, surface_of


def episode(env: RobotEnv, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sound (T, 400) and phase (T,) of the expert's episode, and the states (T, N) after every step."""
    env.reset(seed=seed)
    expert, sounds, phases, states, over = Expert(env, seed, noise=0.0), [], [], [], False
    while not over:
        act = expert.act()
        observation, _, success, truncated, _ = env.step(act.executed)
        sounds.append(observation.get(AUDIO))
        phases.append(act.phase)
        states.append(env.get_state())
        over = success or truncated
    return np.array(sounds), np.array(phases), np.array(states)


@pytest.fixture(scope="module")
def heard():
    env = make("place_can", render_images=False, microphone=True)
    return env, *episode(env)


def test_listening_changes_nothing(heard):
    _, _, _, states = heard
    _, _, deaf = episode(make("place_can", render_images=False))
    assert np.array_equal(states, deaf)


def test_equal_episodes_sound_equal(heard):
    _, sound, _, _ = heard
    assert np.array_equal(episode(make("place_can", render_images=False, microphone=True))[0], sound)


def test_contacts_are_loud_and_their_absence_silent(heard):
    env, sound, phases, _ = heard
    assert sound.shape[1] == AUDIO_HZ // CONTROL_HZ == 400 and sound.dtype == np.float32
    assert np.abs(sound).max() <= 1 and env.observation_space[AUDIO].contains(sound[-1])
    assert RobotEnv.metadata["audio_hz"] == 8000 and env.fingerprint()["microphone"] == 8000
    loud = np.sqrt((sound**2).mean(axis=1))
    assert loud[phases == Phase.APPROACH].max() < 1e-3, "nothing touches but the can that stands there"
    grasp = int(np.argmax(phases == Phase.LIFT))
    carried = np.median(loud[phases == Phase.CARRY])
    assert loud[grasp - 2 : grasp + 2].max() > 5 * carried, "the grasp is heard"
    assert phases[np.argmax(loud)] in (Phase.RELEASE, Phase.RETREAT), "the can falls into the bin"


def test_the_bin_rings_lower_than_the_tray(heard):
    _, sound, *_ = heard
    last = sound[np.argmax((sound**2).mean(axis=1)) :].ravel()[:800]
    pitch = np.argmax(np.abs(np.fft.rfft(last))) * AUDIO_HZ / len(last)
    modes = [mode[0] for mode in BANKS[frozenset(("can", "bin"))]]
    assert min(abs(pitch - hertz) for hertz in modes) < 25


def test_sound_rings_on_and_a_restored_state_is_silent(heard):
    env, sound, _, states = heard
    loudest = int(np.argmax((sound**2).mean(axis=1)))
    env.reset(seed=3)
    assert not env.observe()[AUDIO].any()
    env.set_state(states[loudest])
    assert not env.observe()[AUDIO].any(), "what was heard before is no part of a state"
    still = np.append(env.scene.eef, -1.0)
    after = [env.step(still)[0][AUDIO] for _ in range(12)]
    env.reset(options={"state": states[loudest]})
    again = [env.step(still)[0][AUDIO] for _ in range(12)]
    assert np.array_equal(after, again), "equal states sound alike"
    rings = np.sqrt((sound[loudest + 1] ** 2).mean())
    assert rings > 10 * np.sqrt((after[0] ** 2).mean()), "the ring-down spans control steps, but not set_state"


def test_a_microphone_that_was_always_there_agrees_soon_after(heard):
    env, sound, phases, states = heard
    middle = int(np.argmax(phases == Phase.CARRY)) + 3
    env.reset(seed=3)
    env.set_state(states[middle])
    expert = Expert(env, 3, noise=0.0)
    later = [env.step(expert.act().executed)[0][AUDIO] for _ in range(8)]
    difference = np.abs(np.array(later) - sound[middle + 1 : middle + 9]).max(axis=1)
    assert difference[-1] < 1e-3, "half a second later nobody could tell"


def test_the_state_has_no_room_for_sound():
    with_it, without = (make("place_can", render_images=False, microphone=on) for on in (True, False))
    with_it.reset(seed=1)
    without.reset(seed=1)
    assert np.array_equal(with_it.get_state(), without.get_state())
    assert AUDIO not in without.observe() and "microphone" not in without.fingerprint()


def test_surfaces_of_names():
    names = ("can", "tray_near", "bin_left", "pad_left", "finger_right", "palm", "ground", "thing_0", "")
    expected = ["can", "tray", "bin", "pad", "finger", "finger", "ground", "other", "other"]
    assert [surface_of(name) for name in names] == expected
    assert all(pair <= set(SURFACES) for pair in BANKS)


def test_a_timestep_between_samples_is_refused(heard):
    env = heard[0]
    before = float(env.scene.model.opt.timestep)
    env.scene.model.opt.timestep = 0.00033
    try:
        with pytest.raises(ValueError, match="no whole number of samples"):
            Microphone(env.scene)
    finally:
        env.scene.model.opt.timestep = before
