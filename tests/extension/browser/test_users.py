"""The pane of users, roles and tokens, in a browser, with a middleware in memory."""

import pytest
from playwright.sync_api import expect
from webui_page import ON_ONE


@pytest.fixture
def people(anna, page):
    """The pane as who may see it has it."""
    page.pane("Users")
    page.choose("atelier_account", "anna's cloud")
    page.refresh("users", "ben")
    return page


def test_a_role_and_a_user_are_made_and_given_a_token_that_is_shown_once(anna, people):
    people.write_new("atelier_roles_role", "helper")
    people.choose("atelier_roles_permissions", "inference:all")
    people.part("atelier_roles_save").click()
    expect(people.part("atelier_roles")).to_contain_text("helper")
    people.write_new("atelier_users_user", "zoë")
    people.choose("atelier_users_roles", "helper")
    people.part("atelier_users_save").click()
    expect(people.part("atelier_users")).to_contain_text("zoë")
    assert (["inference:all"], ["helper"]) == (
        anna.roles["helper"]["permissions"],
        anna.users["zoë"]["roles"],
    )

    people.part("atelier_tokens_of").locator(".label-wrap").first.click()
    people.write("atelier_tokens_description", "her laptop")
    people.part("atelier_tokens_make").click()
    expect(people.part("atelier_tokens")).to_contain_text("her laptop")
    (secret,) = (each for each, user in anna.tokens.items() if user == "zoë")
    shown = people.part("atelier_tokens_secret").locator("textarea, input").first
    expect(shown).to_have_value(secret)

    people.part("atelier_tokens_show").click()
    expect(shown).to_have_value("")
    people.part("atelier_tokens_revoke").click()
    expect(people.part("atelier_users_told")).to_contain_text("revoked")
    assert "zoë" not in anna.tokens.values()


@ON_ONE
def test_a_user_is_given_another_role_and_deleted(anna, people):
    anna.role("guest", "inference:list")
    anna.user("zoë", "guest")
    people.refresh("users", "guest")
    people.choose("atelier_users_user", "ben")
    expect(people.part("atelier_users_roles")).to_contain_text("artist")

    people.choose("atelier_users_roles", "guest")
    people.part("atelier_users_save").click()
    expect(people.part("atelier_users_told")).to_contain_text("artist, guest")
    assert ["artist", "guest"] == anna.users["ben"]["roles"]

    people.part("atelier_users_delete").click()
    expect(people.part("atelier_users_told")).to_contain_text("The user ben is deleted")
    assert ["anna", "zoë"] == list(anna.users)


@ON_ONE
def test_who_may_not_see_users_sees_none_and_is_told_why(anna, page):
    anna.roles["artist"]["permissions"] = ["inference:all", "sagemaker_endpoint:list"]
    page.pane("Users")

    page.part("atelier_users_refresh").click()

    told = page.part("atelier_users_message")
    expect(told).to_contain_text("managed by others")
    expect(told.locator("[data-atelier-of]")).to_have_attribute("data-atelier-of", "anna's cloud")
    expect(page.part("atelier_users_save")).to_be_hidden()


@ON_ONE
def test_what_the_middleware_refuses_is_told_and_the_pane_stays(anna, people):
    people.write_new("atelier_users_user", "zoë")
    people.choose("atelier_users_roles", "artist")
    del anna.roles["artist"]
    anna.role("chief", "user:all", "role:all")
    anna.users["anna"]["roles"] = ["chief"]
    anna.users["ben"]["roles"] = []

    people.part("atelier_users_save").click()

    expect(people.part("atelier_users_told")).to_contain_text('user roles "artist" not exist')
    expect(people.part("atelier_users_save")).to_be_visible()
