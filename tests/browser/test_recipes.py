"""Recipes that are pasted or dropped become graphs."""

import base64
import json
import re
from io import BytesIO
from pathlib import Path

from PIL import Image

from dev.cache import ROOT

from .test_graph import values
from .test_people import expect

RECIPES = Path(__file__).resolve().parent.parent / "fixtures" / "recipes"
RECIPE = (
    "a park BREAK photo BREAK a woman <lora:ohwx_first:0.8> BREAK a man\n"
    "w=128\nh=128\nsteps=2\nscheduler=euler\nseed=7"
)


def test_a_recipe_pasted_becomes_a_graph_that_finishes(editor):
    editor.run_command("Ensemble.PasteRecipe")
    panel = editor.page.locator(".ensemble-recipe")
    panel.get_by_role("textbox", name="Recipe").fill(RECIPE)
    panel.get_by_role("button", name="Read").click()
    expect(panel.locator(".ensemble-told"), "Not on this machine")
    panel.get_by_role("combobox", name="Checkpoint").select_option("small_sd15.safetensors")
    panel.get_by_role("button", name="Read").click()
    expect(panel.locator(".ensemble-told"), "Understood")
    panel.get_by_role("button", name="Open as graph").click()
    editor.look_at("BreakRegionalPrompt")
    expect(editor.chip("person-1"), "ohwx_first 0.8")
    entry = editor.queue()
    assert entry["status"]["status_str"] == "success", entry["status"]
    (saved,) = [
        image
        for output in entry["outputs"].values()
        for image in output.get("images", [])
        if image["type"] == "output"
    ]
    query = f"filename={saved['filename']}&subfolder={saved['subfolder']}&type=output"
    picture = editor.page.request.get(f"{editor.url}/view?{query}").body()

    sent = values(editor)
    editor.load({"nodes": [], "links": [], "version": 0.4})
    editor.drop("picture.png", "image/png", picture)
    editor.look_at("BreakRegionalPrompt")
    expect(editor.chip("person-1"), "ohwx_first 0.8")
    assert values(editor) == sent
    editor.run_command("Workspace.ToggleSidebarTab.ensemble.recipe")


def test_a_picture_in_a_recipe_is_put_where_its_graph_looks(editor):
    picture = BytesIO()
    Image.new("RGB", (64, 64), "teal").save(picture, "PNG")
    url = "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()
    body = {"prompt": "a", "model_id": "small_sd15", "init_image": url, "lora_model": "nobody"}
    editor.run_command("Ensemble.PasteRecipe")
    panel = editor.page.locator(".ensemble-recipe")
    panel.get_by_role("textbox", name="Recipe").fill(json.dumps(body))
    panel.get_by_role("button", name="Read").click()
    expect(panel.locator(".ensemble-told"), "nobody")
    assert panel.get_by_role("button", name="Open as graph").is_disabled()
    panel.get_by_label("Leave out what is missing").check()
    panel.get_by_role("button", name="Read").click()
    expect(panel.locator(".ensemble-told"), "Understood")
    panel.get_by_role("button", name="Open as graph").click()
    editor.page.wait_for_function("app.graph.nodes.some(n => n.type === 'LoadImage')")
    name = values(editor)["LoadImage"]["image"]
    stored = editor.page.request.get(f"{editor.url}/view?filename={name}&type=input")
    assert stored.body() == picture.getvalue()
    # The node knows the file, or the editor would call it missing.
    load = "app.graph.nodes.find(n => n.type === 'LoadImage')"
    assert name in editor.js(f"{load}.widgets.find(w => w.name === 'image').options.values")
    editor.run_command("Workspace.ToggleSidebarTab.ensemble.recipe")


def test_dropped_files(editor):
    recipe = editor.page.locator(".ensemble-recipe").get_by_role("textbox", name="Recipe")
    editor.drop("mine.txt", "text/plain", b"a dropped prompt\nsteps=3")
    recipe.wait_for()
    assert recipe.input_value() == "a dropped prompt\nsteps=3"
    body = (RECIPES / "lora_multi.json").read_bytes()
    editor.drop("body.json", "application/json", body)
    editor.page.wait_for_function(
        "document.querySelector('.ensemble-recipe textarea').value.includes('model_id')"
    )
    template = ROOT / "example_workflows" / "api" / "multi_person.json"
    editor.drop("graph.json", "application/json", template.read_bytes())
    expect(editor.chip("person-1"), "")
    editor.run_command("Workspace.ToggleSidebarTab.ensemble.recipe")


def test_the_menu_opens_the_recipes(editor):
    button = editor.page.get_by_role("button", name=re.compile("menu", re.IGNORECASE))
    editor.page.locator(".comfy-menu-button-wrapper").or_(button).first.click()
    editor.page.get_by_role("menuitem", name="Ensemble").first.hover()
    editor.page.get_by_role("menuitem", name="Paste a recipe of a hosted service").click()
    field = editor.page.get_by_role("textbox", name="Recipe")
    field.wait_for()
    editor.run_command("Workspace.ToggleSidebarTab.ensemble.recipe")
    field.wait_for(state="detached")


def test_a_recipe_that_cannot_be_read_says_why(editor):
    editor.run_command("Ensemble.PasteRecipe")
    panel = editor.page.locator(".ensemble-recipe")
    text = panel.get_by_role("textbox", name="Recipe")
    text.fill("a <b>woman</b>\nstepz=3")
    panel.get_by_role("button", name="Read").click()
    expect(panel.locator(".ensemble-told"), "stepz")
    assert panel.get_by_role("button", name="Open as graph").is_disabled()
    assert panel.locator(".ensemble-told b").count() == 0
    editor.run_command("Workspace.ToggleSidebarTab.ensemble.recipe")


def test_a_likely_mistake_in_a_recipe_is_mended_by_a_click(editor):
    editor.run_command("Ensemble.PasteRecipe")
    panel = editor.page.locator(".ensemble-recipe")
    text = panel.get_by_role("textbox", name="Recipe")
    text.fill("a park BREAK a woman <lora:ohwx_first:1>\nsteps=3")
    panel.get_by_role("button", name="Read").click()
    expect(panel.locator(".ensemble-told"), "People start at the third part")
    panel.locator(".ensemble-told").get_by_role("button").click()
    assert text.input_value() == "a park BREAK BREAK a woman <lora:ohwx_first:1>\nsteps=3"
    editor.run_command("Workspace.ToggleSidebarTab.ensemble.recipe")


def test_a_documented_recipe_with_everything_missing_becomes_a_graph_by_choices(editor):
    text = (
        (RECIPES / "multi_person.txt")
        .read_text(encoding="utf-8")
        .replace("849330", "nobody_at_all")
    )
    editor.run_command("Ensemble.PasteRecipe")
    panel = editor.page.locator(".ensemble-recipe")
    # What another test has chosen stays, too.
    panel.get_by_label("Checkpoint").select_option(index=0)
    panel.get_by_label("Leave out what is missing").uncheck()
    panel.get_by_role("textbox", name="Recipe").fill(text)  # it is read without a button
    told = panel.locator(".ensemble-told")
    expect(told, "Person 2")
    expect(told, "(ohwx woman)")
    expect(panel.locator("dl"), "dpm++sde_karras")
    insert = panel.get_by_role("button", name="Open as graph")
    assert insert.is_disabled() and "choose what to take" in insert.get_attribute("title")
    missing = panel.locator("[data-missing]")
    panel.locator("[data-missing=default] select").select_option("small_sd15.safetensors")
    panel.locator("[data-missing=default]").wait_for(state="detached")
    panel.locator("[data-missing=nobody_at_all] select").select_option("zed.safetensors")
    panel.locator("[data-missing=nobody_at_all]").wait_for(state="detached")
    # What was typed and chosen stays when the sidebar closes.
    editor.run_command("Workspace.ToggleSidebarTab.ensemble.recipe")
    panel.wait_for(state="detached")
    editor.run_command("Ensemble.PasteRecipe")
    expect(told, "zed.safetensors")
    while not insert.is_enabled():
        missing.first.get_by_role("button", name="Leave it out").click()
        editor.page.wait_for_timeout(800)
    insert.click()
    editor.look_at("BreakRegionalPrompt")
    sent = values(editor)
    assert "<lora:zed.safetensors:1:1>" in sent["BreakRegionalPrompt"]["text"]
    assert sent["CheckpointLoaderSimple"]["ckpt_name"] == "small_sd15.safetensors"
    assert "LoadImage" not in sent
    panel.get_by_role("textbox", name="Recipe").fill("")
    editor.run_command("Workspace.ToggleSidebarTab.ensemble.recipe")
